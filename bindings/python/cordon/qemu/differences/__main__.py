"""python3 -m cordon.qemu.differences: looks at a QEMU, row by row. It fails only where QEMU cannot be
started: what has changed is news, not an error."""
import json
import sys

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..process import BINARY, QemuError
from .document import rendered
from .run import answer_text, is_known, look_at_all
from .table import LOOKED_AT, ROWS, text_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of a table.")
@click.option("--qemu", "binary", default=BINARY, show_default=True, help="The QEMU to look at.")
@click.option("--markdown", is_flag=True, help="Print docs/qemu-differences.md; no QEMU is started.")
def main(as_json, binary, markdown):
    """Look for the known differences of QEMU's IOMMU from the specification."""
    if markdown:
        print(rendered(), end="")
        return
    try:
        looks = look_at_all(binary)
        if sys.stderr.isatty():
            looks = track(looks, "Looking at QEMU, row by row", len(ROWS), console=Console(stderr=True),
                          transient=True)
        findings = list(looks)
    except QemuError as why:
        sys.exit(f"error: {why}")
    if as_json:
        version = text_of(findings[0].version)
        known = is_known(findings[0].version)
        print(json.dumps({"qemu": version, "version_known": known,
                          "rows": [finding.to_json() for finding in findings]}, indent=2))
    else:
        tell(findings, Console())


def tell(findings, console):
    version = findings[0].version
    table = Table(title=f"QEMU {text_of(version)}")
    for heading in ("row", "expected", "seen", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what QEMU does")
    for finding in findings:
        seen = answer_text(finding.seen) if finding.row.probe else "-"
        expected = answer_text(finding.expected) if finding.row.probe else "-"
        if finding.row.probe and finding.expected is None:
            expected += f" ({answer_text(finding.row.nearest(version))})"
        sentence = finding.row.sentence + (f" ({finding.reason})" if finding.reason else "")
        table.add_row(finding.row.id, expected, seen, finding.state, sentence)
    console.print(table)
    if not is_known(version):
        console.print(f"Nobody has looked at QEMU {text_of(version)} before: it is held against the "
                      f"nearest of {', '.join(map(text_of, LOOKED_AT))}.")
    changed = sum(finding.state == "CHANGED" for finding in findings)
    console.print(f"{len(findings)} rows, {changed} CHANGED")


if __name__ == "__main__":
    main()
