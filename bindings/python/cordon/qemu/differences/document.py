"""docs/qemu-differences.md, made from the table."""
from .table import FIRST, LAST, ROWS, text_of

_HEAD = """\
# Known differences of QEMU's IOMMU

Where QEMU's RISC-V IOMMU does something else than the specification (version 1.0), so that a test on
QEMU may see what hardware would not show, or miss what hardware would. Some rows are permitted by the
specification; they are here because QEMU never shows the other way. The rows stand in
`bindings/python/cordon/qemu/differences/table.py`, each with a probe that sees it again; this file is
made from them:

    python3 -m cordon.qemu.differences --markdown > docs/qemu-differences.md

## Looking at a QEMU

    python3 -m cordon.qemu.differences                  # the one that is installed
    python3 -m cordon.qemu.differences --qemu PATH      # another
    python3 -m cordon.qemu.differences --json

prints for each row what the table expects of that version, what was seen, and `SAME` or `CHANGED`. A
version that nobody has looked at (the table knows {first} to {last}) is held against the nearest; what
has changed there is printed and is no failure. `dma-tests/qtest/test_differences.py` fails when, on a
version inside a row's range, a probe sees something else than the row says, in either direction.
`CORDON_QEMU=PATH` runs the tests of `dma-tests/qtest` on another QEMU. In Python,
`cordon.qemu.differences.known("napot", (10, 0, 2))` asks the table.

The probes need no library: they write tables, contexts, commands and registers themselves, and let
an `edu` device do the DMA. A probe whose own ground does not hold answers "unknown" and says why. The
same probes run on the software IOMMU in the tests, which is strict: there they must answer "as
specified".

## The rows

| row | what QEMU does | section | seen in |
|-----|----------------|---------|---------|
"""
_TAIL = """
## Without a probe

| row | what QEMU does | section | why it is not probed |
|-----|----------------|---------|----------------------|
"""


def rendered():
    """The text of the file."""
    text = _HEAD.format(first=text_of(FIRST), last=text_of(LAST))
    text += "".join(f"| `{row.id}` | {row.sentence} | {row.section} | {row.versions} |\n"
                    for row in ROWS if row.probe)
    return text + _TAIL + "".join(f"| `{row.id}` | {row.sentence} | {row.section} | {row.why} |\n"
                                  for row in ROWS if not row.probe)


__all__ = ["rendered"]
