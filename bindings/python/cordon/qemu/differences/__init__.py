"""The known differences of QEMU's RISC-V IOMMU from the specification: a table, and a probe for each.

`python3 -m cordon.qemu.differences [--json] [--qemu PATH]` looks at a QEMU; known(row_id) is for
judges that compare QEMU with something stricter."""
from .bench import Bench, Unclear
from .run import Finding, is_known, look, look_at_all, version_of
from .table import LOOKED_AT, ROWS, Row, known, row

__all__ = ["Bench", "Finding", "LOOKED_AT", "ROWS", "Row", "Unclear", "is_known", "known", "look",
           "look_at_all", "row", "version_of"]
