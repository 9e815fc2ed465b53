"""Boot tests in short: guests from images, a machine that runs them, what it said."""
import subprocess
from pathlib import Path

import bundle
import libfdt
from cordon.machine import Machine
from cordon.machine.machine import FIRMWARE_GUEST_FILES, HYPERVISOR

TREE = Path(__file__).resolve().parents[2]
BARE = TREE / "dma-tests/guest/bare"
CROSS = "riscv64-unknown-elf-"
FLAGS = ("-march=rv64gc -mabi=lp64d -mcmodel=medany -ffreestanding -fno-pic -O1 -Wall -Wextra "
         "-nostdlib -static -Wl,--no-relax -Wl,--build-id=none -Wl,-z,max-page-size=4096").split()
MIB = 1 << 20


def bare_guest(name, folder):
    """The bytes of the guest dma-tests/guest/bare/NAME.c, compiled in FOLDER."""
    elf, binary = folder / f"{name}.elf", folder / f"{name}.bin"
    subprocess.run([CROSS + "gcc", *FLAGS, f"-Wl,-T,{BARE / 'bare.lds'}", "-o", elf,
                    BARE / "start.S", BARE / "bare.c", BARE / f"{name}.c"], check=True)
    subprocess.run([CROSS + "objcopy", "-O", "binary", elf, binary], check=True)
    return binary.read_bytes()


def linux(name, **settings):
    """Settings of a Debian guest that powers off once it has reached its init."""
    args = f"console=ttyS0 earlycon=sbi panic=-1 cordon.name={name} cordon.then=poweroff"
    return {"vcpus": 1, "memory": 256 * MIB, "kernel": "linux", "ramdisk": "ramdisk",
            "bootargs": args} | settings


def linux_images():
    guest = TREE / "out/guest"
    return {"linux": (guest / "Image").read_bytes(),
            "ramdisk": (guest / "initramfs.cpio.gz").read_bytes()}


def bare(image="guest", **settings):
    return {"vcpus": 1, "memory": 16 * MIB, "kernel": image} | settings


def device_tree(path, harts, edit):
    """The machine's device tree at PATH, as EDIT leaves it, which is given it with some room."""
    subprocess.run(["qemu-system-riscv64", "-nodefaults", "-display", "none", "-smp", str(harts), "-m", "4G",
                    "-cpu", "rv64,h=true",
                    "-M", f"virt,aia=aplic-imsic,aia-guests={FIRMWARE_GUEST_FILES},iommu-sys=on,dumpdtb={path}"],
                   stderr=subprocess.DEVNULL, check=True)
    tree = libfdt.Fdt(path.read_bytes())
    tree.resize(tree.totalsize() + 256)
    edit(tree)
    path.write_bytes(tree.as_bytearray())
    return path


def symbols():
    """{name: (address, bytes)} of the hypervisor's own."""
    said = subprocess.run([CROSS + "nm", "-S", "--defined-only", Path(HYPERVISOR).with_suffix(".elf")], check=True,
                          capture_output=True, text=True).stdout
    words = (line.split() for line in said.splitlines())
    return {word[-1]: (int(word[0], 16), int(word[1], 16) if len(word) == 4 else 0) for word in words}


class Run:
    """What a machine that has ended leaves: the console's lines and its exit status."""

    def __init__(self, lines, status):
        self.lines, self.status = lines, status

    def of(self, name):
        """The lines of one author, without the name."""
        return [line[len(name) + 3:] for line in self.lines if line.startswith(f"[{name}] ")]

    def has(self, name, text):
        return any(text in line for line in self.of(name))


class Boots:
    """Runs machines for one test; each console is kept in FOLDER."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    def machine(self, blob, **options):
        """A machine that runs a bundle's bytes, or b"" for one without; used as a context."""
        self.count += 1
        path = self.folder / f"bundle-{self.count}.itb"
        path.write_bytes(blob)
        return Machine(path, log=self.folder / f"console-{self.count}.log", **options)

    def run(self, images, vms, timeout=60, digests=None, **options):
        """Run guests until the machine powers itself off."""
        return self.run_blob(bundle.make(images, vms, digests), timeout, **options)

    def run_plain(self, images, vms, *arguments, timeout=60):
        """As run, on a machine of which ARGUMENTS say everything but AIA and IOMMU."""
        path = self.folder / "bundle-plain.itb"
        path.write_bytes(bundle.make(images, vms))
        done = subprocess.run(
            ["qemu-system-riscv64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-M", "virt,aia=aplic-imsic,aia-guests=4,iommu-sys=on", "-cpu", "rv64,h=true",
             "-serial", "stdio", "-kernel", HYPERVISOR, "-initrd", path, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=timeout, check=False)
        text = done.stdout.decode(errors="replace")
        (self.folder / "console-plain.log").write_text(text)
        return Run([line.rstrip("\r") for line in text.split("\n")], done.returncode)

    def run_blob(self, blob, timeout=60, **options):
        with self.machine(blob, **options) as machine:
            status = machine.wait_end(timeout)
            machine.console.wait(r"guests have ended|REFUSED bundle|PANIC", timeout=5)
            return Run(list(machine.console.lines), status)
