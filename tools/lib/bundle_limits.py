"""The limits of a bundle, read from the hypervisor's own header so that there is one list."""
import re
from pathlib import Path

HEADER = Path(__file__).resolve().parent.parent.parent / "hyp/config/vm_config.h"
_DEFINE = re.compile(r"^#define (\w+) (?:UINT64_C\()?(0x[0-9A-Fa-f]+|\d+)u?\)?", re.M)


def read_defines(path=HEADER):
    """{name: value} of the numbers that a header defines."""
    return {name: int(value, 0) for name, value in _DEFINE.findall(path.read_text())}


LIMITS = read_defines()
PAGE = 4096
SCATTER_BITS = 0x7FFFF  # 4 KiB to 1 GiB
U64 = (1 << 64) - 1


def guest_window(ram_base):
    """First byte of the 1 GiB of devices of a guest whose RAM starts at RAM_BASE."""
    return 0 if ram_base >= LIMITS["GUEST_RAM_HIGH"] else 0xC0000000


def guest_ram_end(ram_base):
    """First byte behind the RAM that such a guest may have."""
    high = ram_base >= LIMITS["GUEST_RAM_HIGH"]
    return LIMITS["GUEST_MMIO64"] if high else guest_window(ram_base)
