"""The machine of the story: its devices, its guests' bundle, what the emulator says of itself."""
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
RAM_BASE = 0x80000000
RED_DISK, BLUE_DISK, FIRST_EDU, EDUS = 1, 2, 3, 8
IOMMU = 0x3010000
ECAM = 0x30000000
# What stands where in a guest whose RAM begins at 0: hyp/config/vm_config.h.
GUEST_FILE, GUEST_POOL = 0xC1000000, 0xC2000000
# name, offset, bytes: what an attacker would change to open the IOMMU [IOMMU 5]
IOMMU_REGISTERS = [("fctl", 0x8, 4), ("ddtp", 0x10, 8), ("cqb", 0x18, 8), ("fqb", 0x28, 8),
                   ("cqcsr", 0x48, 4), ("msi_cfg_tbl", 0x300, 8)]


class SceneError(Exception):
    """Something that the story needs cannot be made."""


def run_tool(*command):
    done = subprocess.run([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SceneError(f"{Path(command[0]).name}: {done.stderr.strip()}")


def disks(folder):
    """QEMU's arguments for red's disk and blue's; they are made in FOLDER."""
    arguments = []
    for number, name in ((RED_DISK, "red"), (BLUE_DISK, "blue")):
        disk = folder / f"{name}.img"
        run_tool(TREE / "tools/story/make-disk", "--seed", number, disk)
        arguments += ["-drive", f"if=none,id={name},format=raw,file={disk}",
                      "-device", f"nvme,serial={name},drive={name},addr={number}"]
    return arguments


def edus(count=EDUS):
    """QEMU's arguments for the rogue: edu functions that reach every address."""
    return [word for slot in range(FIRST_EDU, FIRST_EDU + count)
            for word in ("-device", f"edu,dma_mask=0xffffffffffffffff,addr={slot:x}")]


def edu_id(by):
    """The IOMMU's device id of the edu that its guest counts as number BY."""
    return (FIRST_EDU + by) << 3


def bundle(folder, settings, bootargs):
    """The bundle of SETTINGS (a TOML file), with BOOTARGS ({vm: text}) appended."""
    path = folder / f"{settings.stem}.itb"
    extra = [word for vm, text in bootargs.items() for word in ("--bootargs", f"{vm}={text}")]
    run_tool(TREE / "tools/bundle", "make", settings, "-o", path, *extra)
    return path


def read_physical(qmp, address, length):
    """An integer at a host physical address, RAM or registers, as QEMU itself reads it."""
    text = qmp.hmp(f"xp /1{'g' if length == 8 else 'w'}x {address:#x}")
    return int(re.search(r": (0x[0-9a-f]+)", text)[1], 16)


def iommu_registers(qmp):
    return {name: read_physical(qmp, IOMMU + offset, length) for name, offset,
            length in IOMMU_REGISTERS}


def directory_places(registers):
    """Where the IOMMU's own registers say that its directory and queues lie."""
    page = {name: (registers[name] >> 10 & (1 << 44) - 1) << 12 for name in ("ddtp", "cqb", "fqb")}
    return [("device-directory", page["ddtp"]), ("command-queue", page["cqb"]),
            ("fault-queue", page["fqb"])]


def bars(qmp):
    """{slot: host address of its first memory BAR}, from the emulator's own list."""
    found, slot = {}, None
    for line in qmp.hmp("info pci").splitlines():
        if match := re.search(r"device\s+(\d+), function 0", line):
            slot = int(match[1])
        elif match := re.search(r"BAR0: .* memory .*at (0x[0-9a-f]+)", line):
            found[slot] = int(match[1], 16)
    return found


def disk_bytes(qmp):
    """{disk: (bytes read, bytes written)} since the machine began, as the emulator counts them."""
    return {d["device"]: (d["stats"]["rd_bytes"], d["stats"]["wr_bytes"])
            for d in qmp.command("query-blockstats") if d.get("device")}
