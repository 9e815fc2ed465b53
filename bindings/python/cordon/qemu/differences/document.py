"""docs/qemu-differences.md, made from the table."""
from .table import LOOKED_AT, ROWS, text_of

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

prints for each row what the table expects of that version, what was seen, and `SAME` or `CHANGED`.
Looked at: {versions}, all Debian's. A version that nobody has looked at is held against the nearest;
what has changed there is printed and is no failure. `dma-tests/qtest/test_differences.py` fails when,
on a version inside a row's range, a probe sees something else than the row says, in either direction;
it skips the rows that say nothing about a version.
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
_DEVICES = """
## Harts

- Where a hart sets A and D of a leaf itself (no Svade, or Svadu) and the word is changed between its look and its
  store, its walk should begin again at the root. QEMU 10's (`restart` in `get_physical_address`, read in its source)
  begins again with the last table in the root's place, and takes two more bits of the address for its index, as a
  G-stage root has. Three of four such walks read a word behind that table, and the access goes to another page. It
  takes a hart that stores to a page for the first time since a harvest, while another one does, or while logging ends
  or pages are harvested. Seen where the host is so busy that QEMU's threads wait for each other: of a page whose
  logging ended under it, a store was lost and the next word read from elsewhere, in about one of four such runs. With
  `-cpu rv64,h=true,svadu=off,svade=on` harts fault instead; then none was.

## Devices

- Only devices that ask the IOMMU are held back by it. A virtio device without `iommu_platform=on` does
  not: it reads and writes host addresses though no context is valid, and no fault tells of it
  (`dma-tests/qtest/test_virtio.py` shows it). With the flag, a driver that does not accept
  `VIRTIO_F_ACCESS_PLATFORM` is refused by the device.
- A virtio disk and an NVMe controller translate when they take a command: what is in flight then lands
  after any revocation, and is drained by a reset only. `edu`, `e1000e` and `igb` translate when they
  access.
- On the root bus a virtio device has no function level reset; writing 0 to its status resets it, and
  ends what it has in flight before it reads 0.
- An `igb` takes the slots from 16 above its own for its virtual functions: two cards need two slots
  between them.
- An `e1000e` or `igb` maps a piece of a packet, as one descriptor names it, in one go. Where the piece goes on in
  another place of host memory less than all of it is mapped, and the packet is dropped, though its descriptors
  are reported as sent (`net_tx_pkt_add_raw_fragment_pci` in QEMU's `hw/net/net_tx_pkt.c`;
  `dma-tests/qtest/test_e1000e.py` and `test_igb.py` show it). Packets that come in may be scattered, and so may
  what a `virtio-net` sends. [dpdk.md](dpdk.md#which-cards) says what to do in a guest.
- Devices say success of DMA that was refused. Look at memory, then at the faults.
"""
_TAIL = """
## Without a probe

| row | what QEMU does | section | why it is not probed |
|-----|----------------|---------|----------------------|
"""


def rendered():
    """The text of the file."""
    text = _HEAD.format(versions=", ".join(map(text_of, LOOKED_AT)))
    text += "".join(f"| `{row.id}` | {row.sentence} | {row.section} | {row.versions} |\n"
                    for row in ROWS if row.probe)
    text += _TAIL + "".join(f"| `{row.id}` | {row.sentence} | {row.section} | {row.why} |\n"
                            for row in ROWS if not row.probe)
    return text + _DEVICES


__all__ = ["rendered"]
