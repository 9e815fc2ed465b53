"""Machines for benchmarks: the same kernel with and without the hypervisor below it.

All of the machine's RAM is there before it starts (prealloc), so that the emulator's own page faults
are in no figure.
"""
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
from functools import cached_property
from pathlib import Path

import bundle
import machine as boots
from cordon.machine import Console, ConsoleTimeout
from cordon.machine.machine import HYPERVISOR
from cordon.qemu.process import BINARY, SharedFile, _die_with_parent

TREE = Path(__file__).resolve().parents[2]
LOADER = TREE / "dma-tests/bench/loader"
MIB = 1 << 20
GUEST_MIB = 256
MACHINE_MIB = 1024  # a machine that has the hypervisor, the bundle and the guest in it
LOADER_BYTES = 2 * MIB
ORDERS = 64         # where the loader's orders stand (loader/start.S)
IMAGE_SIZE = 16     # where an Image's header says how much memory it takes
IOMMU, RAM_BASE, INTERRUPT_FILE, ECAM = 0x3010000, 0x80000000, 0x28000000, 0x30000000  # of QEMU's virt
AGAIN_SLOT, AGAIN = 30, 0x400000000  # the function whose BAR is RAM once more, and where: where Linux puts the largest
ENOUGH = 150        # seconds for a boot


class Emulator:
    """One QEMU with a console and nothing else unless ARGUMENTS say so; a context manager. SHARED: its RAM is a file in
    memory, as a Machine's is. AGAIN: and stands once more at AGAIN, for devices (dma-tests/bench/loader)."""

    def __init__(self, kernel, initrd, *arguments, harts=1, ram_mib=MACHINE_MIB, iommu=True, icount=False,
                 shared=False, again=False, pass_fds=()):
        ours, theirs = socket.socketpair()
        self._ram = SharedFile("ram", ram_mib * MIB) if shared or again else None
        self._stderr = tempfile.TemporaryFile()
        command = [
            BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-M", "virt,aia=aplic-imsic,aia-guests=4,memory-backend=ram" + (",iommu-sys=on" if iommu else ""),
            "-cpu", "rv64,h=true", "-smp", str(harts), "-m", str(ram_mib),
            "-object", self._memory("ram", ram_mib) + ",prealloc=on",
            *(("-object", self._memory("again", ram_mib), "-device", f"ivshmem-plain,memdev=again,addr={AGAIN_SLOT:#x}")
              if again else ()),
            "-chardev", f"socket,id=console,fd={theirs.fileno()}", "-serial", "chardev:console",
            "-global", "virtio-mmio.force-legacy=false", "-kernel", str(kernel),
            *(("-initrd", str(initrd)) if initrd else ()),
            *(("-icount", "shift=0,sleep=off") if icount else ()), *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._stderr, stderr=self._stderr,
            pass_fds=[theirs.fileno(), *((self._ram.fd,) if self._ram else ()), *pass_fds],
            preexec_fn=_die_with_parent)
        theirs.close()
        self._sock = ours
        self.console = Console(ours)

    def _memory(self, name, mib):
        if self._ram is None:
            return f"memory-backend-ram,id={name},size={mib}M"
        return f"memory-backend-file,id={name},size={mib}M,share=on,mem-path={self._ram.path}"

    def wait(self, pattern, timeout=ENOUGH):
        """The match of a line; an error of the guest's or of QEMU's ends the wait."""
        try:
            _, found = self.console.wait(f"{pattern}|BENCH-ERROR|REFUSED|PANIC", timeout)
        except ConsoleTimeout as why:
            raise BenchError(f"{why}\n{self._said()}") from None
        if re.search(pattern, found.string) is None:
            raise BenchError(found.string)
        return re.search(pattern, found.string)

    def _said(self):
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._sock.close()
        if self._ram:
            self._ram.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class BenchError(Exception):
    """A benchmark could not be run to its end."""


def compile_bare(sources, script, folder, name, *flags):
    """A program without an operating system, as the bytes that are loaded."""
    elf, binary = folder / f"{name}.elf", folder / f"{name}.bin"
    subprocess.run([boots.CROSS + "gcc", *boots.FLAGS, "-O2", "-fno-tree-loop-distribute-patterns", *flags,
                    f"-Wl,-T,{script}", "-o", elf, *sources], check=True)
    subprocess.run([boots.CROSS + "objcopy", "-O", "binary", elf, binary], check=True)
    return binary.read_bytes()


class Parts:
    """The images that benchmarks boot, made once in FOLDER."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.initramfs = TREE / "out/bench/initramfs.cpio.gz"

    @cached_property
    def _loader(self):
        return compile_bare([LOADER / "start.S", LOADER / "loader.c"], LOADER / "loader.lds", self.folder,
                            "loader")

    @cached_property
    def fill(self):
        """The program that measures TLB fills."""
        return compile_bare([boots.BARE / "start.S", boots.BARE / "bare.c", LOADER / "fill.c"],
                            boots.BARE / "bare.lds", self.folder, "fill", f"-I{boots.BARE}")

    @cached_property
    def _linux(self):
        return (TREE / "out/guest/Image").read_bytes()

    def kernel(self, **orders):
        """Loader and Linux as one Image. ORDERS (iommu, devices: a bit for each ID, ram_len) are for the loader."""
        image = bytearray(self._loader + bytes(LOADER_BYTES - len(self._loader)) + self._linux)
        (size,) = struct.unpack_from("<Q", self._linux, IMAGE_SIZE)
        struct.pack_into("<Q", image, IMAGE_SIZE, LOADER_BYTES + size)
        if orders:
            struct.pack_into("<7Q", image, ORDERS, orders["iommu"], orders["devices"], RAM_BASE, orders["ram_len"],
                             INTERRUPT_FILE, ECAM + (AGAIN_SLOT << 15), AGAIN)
        return bytes(image)

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    # ---- the two machines ---------------------------------------------------------------------

    def plain(self, bootargs, *arguments, orders=None, mib=GUEST_MIB, **options):
        """The kernel alone on a machine as large as the guest. ORDERS: with an IOMMU that has tables (kernel())."""
        path = self.write("plain.bin", self.kernel(**(orders or {})))
        return Emulator(path, self.initramfs, "-append", bootargs, *arguments, ram_mib=mib,
                        again=orders is not None, **options)

    def guest(self, bootargs, *arguments, devices=(), mib=GUEST_MIB, more=None, **options):
        """The kernel as the hypervisor's only guest, of MIB, with MORE settings."""
        settings = {"vcpus": 1, "memory": mib * MIB, "kernel": "linux", "ramdisk": "ramdisk",
                    "bootargs": bootargs, "devices": [{"pci": pci} for pci in devices], **(more or {})}
        blob = bundle.make({"linux": self.kernel(), "ramdisk": self.initramfs.read_bytes()},
                           {"guest": settings})
        return Emulator(HYPERVISOR, self.write("guest.itb", blob), *arguments, **options)


class FillCounter:
    """Counts the lines that QEMU's log of the MMU has for TLB fills. Give .arguments and .fds to QEMU."""

    LINE = b"tlb_fill ad"

    def __init__(self):
        self._read, self._write = os.pipe()
        self.arguments = ("-d", "mmu", "-D", f"/proc/self/fd/{self._write}")
        self.fds = (self._write,)
        self.count = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """QEMU has the other end now."""
        os.close(self._write)
        self._thread.start()

    def _run(self):
        tail = b""
        while data := os.read(self._read, 1 << 20):
            data = tail + data
            self.count += data.count(self.LINE)
            tail = data[-len(self.LINE) + 1:]
        os.close(self._read)

    def end(self):
        """All that was logged, once QEMU is gone."""
        self._thread.join(60)
        return self.count
