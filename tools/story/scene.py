"""The machine of the story: its devices, its guests' bundle, and what the emulator says of itself."""
import re
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
RAM_BASE = 0x80000000
RED_DISK, BLUE_DISK, FIRST_EDU, EDUS = 1, 2, 3, 4
IOMMU = 0x3010000
# name, offset, bytes: what an attacker would change to open the IOMMU [IOMMU 5]
IOMMU_REGISTERS = [("fctl", 0x8, 4), ("ddtp", 0x10, 8), ("cqb", 0x18, 8), ("fqb", 0x28, 8),
                   ("cqcsr", 0x48, 4), ("msi_cfg_tbl", 0x300, 8)]


def run_tool(*command):
    subprocess.run([sys.executable, *map(str, command)], check=True, stdout=subprocess.DEVNULL)


def devices(folder):
    """QEMU's arguments for two disks and the edu functions; the disks are made in FOLDER."""
    arguments = []
    for number, name in ((RED_DISK, "red"), (BLUE_DISK, "blue")):
        disk = folder / f"{name}.img"
        run_tool(TREE / "tools/story/make-disk", "--seed", number, disk)
        arguments += ["-drive", f"if=none,id={name},format=raw,file={disk}",
                      "-device", f"nvme,serial={name},drive={name},addr={number}"]
    for slot in range(FIRST_EDU, FIRST_EDU + EDUS):
        arguments += ["-device", f"edu,dma_mask=0xffffffffffffffff,addr={slot}"]
    return arguments


def bundle(folder, settings, bootargs):
    """The bundle of SETTINGS (a TOML file), with BOOTARGS ({vm: text}) appended."""
    path = folder / "story.itb"
    extra = [word for vm, text in bootargs.items() for word in ("--bootargs", f"{vm}={text}")]
    run_tool(TREE / "tools/bundle", "make", settings, "-o", path, *extra)
    return path


def read_physical(qmp, address, length):
    """An integer at a host physical address, RAM or registers, as QEMU itself reads it."""
    text = qmp.hmp(f"xp /1{'g' if length == 8 else 'w'}x {address:#x}")
    return int(re.search(r": (0x[0-9a-f]+)", text)[1], 16)


def iommu_registers(qmp):
    return {name: read_physical(qmp, IOMMU + offset, length) for name, offset, length in IOMMU_REGISTERS}


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
