"""The guests' kernel and initramfs on plain QEMU, without Cordon: what every other boot builds on.
The machine has no IOMMU, for this kernel has no driver for it, and its PCI drivers would
wait for one."""
import shutil
import subprocess
from pathlib import Path

import pytest

GUEST = Path(__file__).resolve().parents[2] / "out/guest"


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """The console of one boot to the end, as lines."""
    if not shutil.which("qemu-system-riscv64") or not (GUEST / "Image").exists():
        pytest.fail("the images are not built: make guest")
    disk = tmp_path_factory.mktemp("disk") / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    command = [
        "qemu-system-riscv64", "-M", "virt,aia=aplic-imsic", "-smp", "2", "-m", "512M", "-nographic", "-nodefaults",
        "-no-reboot", "-serial", "stdio", "-kernel", GUEST / "Image",
        "-initrd", GUEST / "initramfs.cpio.gz",
        "-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "nvme,serial=a,drive=d",
        "-netdev", "hubport,id=h,hubid=0", "-device", "e1000e,netdev=h",
        "-append", "console=ttyS0 quiet panic=-1 cordon.name=plain cordon.run=about "
                   "cordon.modules=nvme,e1000e,uio_pci_generic,nothing cordon.then=poweroff"]
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(errors="replace").splitlines()


def test_init_says_its_name_and_how_long_the_kernel_took(console):
    assert [line for line in console if line.startswith("CORDON-GUEST-INIT plain uptime=")]


def test_modules_load_with_what_they_depend_on(console):
    loaded = {line.split()[1] for line in console if line.startswith("module  ")}
    assert {"nvme", "nvme_core", "e1000e", "uio", "uio_pci_generic"} <= loaded


def test_a_module_that_does_not_exist_is_named(console):
    assert "CORDON-GUEST-ERROR plain module nothing does not load" in console


def test_the_disk_is_there(console):
    assert "disk    nvme0n1 2048 sectors" in console


def test_the_named_script_runs_and_its_status_is_said(console):
    assert "CORDON-GUEST-RUN plain about status=0" in console
