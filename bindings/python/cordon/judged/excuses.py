"""Where QEMU's IOMMU is known to differ, a judge does not hear it: by the id of a row of the table of
differences (cordon.qemu.differences), and only where that row holds for this version of QEMU."""
import functools

from ..iommu import Cause

_CONTEXT = {Cause.ALL_DISALLOWED, Cause.DDT_LOAD, Cause.DDT_INVALID, Cause.DDT_MISCONFIGURED}
_MSI = {Cause.MSI_LOAD, Cause.MSI_INVALID, Cause.MSI_MISCONFIGURED}
_RIGHTS = {Cause.READ_GUEST_PAGE, Cause.WRITE_GUEST_PAGE}


@functools.cache
def _version():
    from ..qemu.differences import version_of
    return version_of()


def excused(world, row_id):
    """Whether the row holds here; counted in `world.excuses`."""
    if world.backend != "qemu":
        return False
    from ..qemu.differences import row
    if not row(row_id).nearest(_version()):
        return False
    world.excuses[row_id] = world.excuses.get(row_id, 0) + 1
    return True


def excuse_reports(world, allowed, missing, came):
    """Of (device, cause, page): those that were due and did not come, and those that CAME and were not
    ALLOWED, without what a row excuses."""
    extra, missing = came - allowed, set(missing)
    for fault in sorted(missing):
        if fault[1] in _RIGHTS and excused(world, "cached-rights-silent"):
            missing.discard(fault)
    for row_id, causes in (("iotval-context", _CONTEXT), ("iotval-msi", _MSI)):
        for device, cause, _ in {fault for fault in came if fault[1] in causes and fault[2] == 0}:
            meant = {fault for fault in allowed if fault[:2] == (device, cause)}
            if meant and excused(world, row_id):
                missing -= meant
                extra.discard((device, cause, 0))
    return missing, extra


__all__ = ["excuse_reports", "excused"]
