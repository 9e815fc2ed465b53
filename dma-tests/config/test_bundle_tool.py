"""tools/bundle from outside: settings in, a bundle or a sentence out."""
import hashlib
import json
import subprocess
import sys

import pytest
from trees import kernel

SETTINGS = """
[images]
linux = "Image"
initramfs = "initramfs.gz"

[vm.red]
vcpus = 2
memory = "128M"
kernel = "linux"
ramdisk = "initramfs"
bootargs = "console=ttyS0"
scatter-pieces = ["4K", "2MiB"]
scatter-seed = 7
devices.disk = { pci = "0000:00:01.0" }

[vm.blue]
vcpus = 1
memory = 0x4000000
ram-base = 0
pool = "8M"
kernel = "linux"
unsafe-devices-without-iommu = true
devices.edu = { pci = "0000:00:02.0", reset = "none-allowed" }
"""


@pytest.fixture
def bundle(root, tmp_path):
    """bundle(ARGUMENT...): runs the tool in a folder that holds two images."""
    (tmp_path / "Image").write_bytes(kernel(length=0x1001))
    (tmp_path / "initramfs.gz").write_bytes(bytes(range(256)) * 7)

    def run(*arguments, ok=True):
        done = subprocess.run([sys.executable, root / "tools/bundle", *map(str, arguments)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done
    return run


@pytest.fixture
def make(bundle, tmp_path):
    """make(SETTINGS, OPTION...): the path of the bundle that was made of them."""
    def run(text=SETTINGS, *options):
        (tmp_path / "s.toml").write_text(text)
        bundle("make", tmp_path / "s.toml", "-o", tmp_path / "out.itb", *options)
        return tmp_path / "out.itb"
    return run


def refusal(bundle, tmp_path, text, *options):
    """The sentence with which settings are refused; no file is left behind."""
    (tmp_path / "s.toml").write_text(text)
    before = sorted(tmp_path.iterdir())
    done = bundle("make", tmp_path / "s.toml", "-o", tmp_path / "out.itb", *options, ok=False)
    assert sorted(tmp_path.iterdir()) == before
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    return done.stderr[7:-1].replace(f"{tmp_path}/", "")


def test_settings_arrive_in_the_hypervisor(make, program):
    done = subprocess.run([program("bundle_json"), make()], stdout=subprocess.PIPE, check=True)
    said = json.loads(done.stdout)
    red, blue = said["vms"]
    assert said["error"] is None and said["refused"] == []
    assert (red["vcpus"], red["ram_len"], red["ram_base"]) == (2, 128 << 20, 2 << 30)
    assert (red["scatter_pieces"], red["scatter_seed"], red["pool_len"]) == (0x201, 7, 0)
    assert red["bootargs"] == "console=ttyS0"
    assert red["devices"] == [{"segment": 0, "bdf": 8, "reset": "required"}]
    assert red["unsafe_devices_without_iommu"] is False
    assert (blue["vcpus"], blue["ram_len"], blue["ram_base"]) == (1, 64 << 20, 0)
    assert (blue["pool_len"], blue["ramdisk"]) == (8 << 20, None)
    assert blue["devices"] == [{"segment": 0, "bdf": 16, "reset": "none-allowed"}]
    assert blue["unsafe_devices_without_iommu"] is True
    assert red["kernel"] == blue["kernel"]


def test_images_lie_whole_at_pages_with_their_hashes(make, tmp_path, bundle):
    path = make()
    data = path.read_bytes()
    red = json.loads(bundle("check", "--json", path).stdout)["vms"][0]
    for key, file in (("kernel", "Image"), ("ramdisk", "initramfs.gz")):
        blob, bytes_ = red[key], (tmp_path / file).read_bytes()
        assert blob["offset"] % 4096 == 0
        assert data[blob["offset"]:blob["offset"] + blob["len"]] == bytes_
        assert blob["sha256"] == hashlib.sha256(bytes_).hexdigest()


def test_equal_settings_make_equal_bytes(make):
    assert make().read_bytes() == make().read_bytes()


def test_other_readers_of_device_trees_accept_the_bundle(make):
    done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts", make()], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 'pci = "0000:00:01.0";' in done.stdout


def test_images_and_bootargs_can_be_replaced(make, bundle, tmp_path):
    (tmp_path / "other").write_bytes(kernel(length=0x300))
    path = make(SETTINGS, "--image", f"linux={tmp_path}/other", "--bootargs", "red=a b",
                "--bootargs", "blue=c")
    red, blue = json.loads(bundle("check", "--json", path).stdout)["vms"]
    assert red["kernel"]["len"] == 0x300
    assert (red["bootargs"], blue["bootargs"]) == ("console=ttyS0 a b", "c")


def test_check_says_what_each_vm_gets(make, bundle):
    assert bundle("check", make()).stdout.splitlines() == [
        "red: 2 vCPUs, 128 MiB at 0x80000000, scattered 0x201, 0000:00:01.0",
        "blue: 1 vCPU, 64 MiB at 0x0, pool 8 MiB, 0000:00:02.0 (reset none-allowed), "
        "UNSAFE: devices without IOMMU allowed"]


def test_check_says_when_memory_comes(make, bundle):
    lazy = SETTINGS.replace('scatter-pieces = ["4K", "2MiB"]\nscatter-seed = 7', 'fill = "first-touch"')
    lazy = lazy.replace('pool = "8M"', 'fill = "first-touch-2M"\novercommit = true').replace("devices.edu", "#")
    assert bundle("check", make(lazy)).stdout.splitlines() == [
        "red: 2 vCPUs, 128 MiB at 0x80000000, filled at start, for it has devices, 0000:00:01.0",
        "blue: 1 vCPU, 64 MiB at 0x0, first-touch-2M, overcommitted, UNSAFE: devices without IOMMU allowed"]


def test_a_byte_changed_in_an_image_is_found(make, bundle):
    path = make()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    found = bundle("check", path, ok=False).stderr
    assert found.startswith('error: VM "red", image "initramfs": SHA-256 is ')
    assert json.loads(bundle("check", "--json", path, ok=False).stdout)["hash_errors"]


def test_check_of_anything_else_is_a_sentence(bundle, tmp_path):
    for data, words in ((b"", "0x0 bytes that are no flattened device tree"),
                        (b"\xd0\x0d\xfe\xed" + bytes(60),
                         "its tree has version 0, it must have 17")):
        (tmp_path / "x").write_bytes(data)
        assert bundle("check", tmp_path / "x", ok=False).stderr == f"error: bundle: {words}\n"


def test_vmids_of_the_machine_can_be_few(make, bundle, program):
    path = make("vmid-bits = 1\n" + SETTINGS)
    assert bundle("check", path).stdout.splitlines()[0] == "machine: at most 2 VMIDs"
    done = subprocess.run([program("bundle_json"), path], stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout)["vmid_bits"] == 1


REFUSED = (
    ("[images]", "vmid-bits = 15\n[images]", "bundle: vmid-bits is 15, it must be 0 to 14"),
    ("[images]", "vmid-bits = -1\n[images]", "s.toml: settings: vmid-bits: -1 is no number"),
    ("[images]", 'vmid-bits = "2"\n[images]', "s.toml: settings: vmid-bits: '2' is no number"),
    ("[images]", "vmid-bits = 0x100000000\n[images]",
     "s.toml: settings: vmid-bits: 4294967296 has more than 32 bits"),
    ("vcpus = 2", "vcpus = 2\nvmid-bits = 1", 's.toml: VM "red": unknown setting "vmid-bits"'),
    ("vcpus = 2", "vcpus = 9", 'VM "red": vcpus is 9, it must be 1 to 8'),
    ("vcpus = 2", "vcpus = -1", 's.toml: VM "red": vcpus: -1 is no number'),
    ("vcpus = 2", "vcpus = true", 's.toml: VM "red": vcpus: True is no number'),
    ("vcpus = 2", "vcpus = 0x100000000",
     's.toml: VM "red": vcpus: 4294967296 has more than 32 bits'),
    ("vcpus = 2\n", "", 'VM "red": property "vcpus" is missing'),
    ('"128M"', '"128Q"', 's.toml: VM "red": memory: \'128Q\' is no size (such as 4096 or "512M")'),
    ('"128M"', '"127M"',
     'VM "red": memory is 0x7f00000 bytes, it must be a multiple of 2 MiB, not 0'),
    ('["4K", "2MiB"]', '"4K"', 's.toml: VM "red": scatter-pieces: \'4K\' is no list of sizes '
     '(such as ["4K", "2M"])'),
    ('"4K", "2MiB"', '"5K"', 's.toml: VM "red": scatter-pieces: 5120 bytes are no power of two '
     'of 4096 and more'),
    ("[vm.red]", "[vm.red]\ncpus = 1", 's.toml: VM "red": unknown setting "cpus": is it "vcpus"?'),
    ("[images]", "[image]", 's.toml: settings: unknown setting "image": is it "images"?'),
    ('"initramfs.gz"', '"absent"', 'image "initramfs": absent: No such file or directory'),
    ('ramdisk = "initramfs"', 'ramdisk = "other"',
     'VM "red", image "other": the bundle has no such image'),
    ('pool = "8M"', 'overcommit = 1', 's.toml: VM "blue": overcommit: 1 is no true or false'),
    ('pool = "8M"', 'overcommit = true', 'VM "blue": overcommit needs fill "first-touch" or "first-touch-2M"'),
    ('pool = "8M"', 'fill = "late"',
     'VM "blue": fill "late" must be "start", "first-touch" or "first-touch-2M"'),
    ('ramdisk = "initramfs"', 'ramdisk = 5', 's.toml: VM "red": ramdisk: 5 is no text'),
    ("0000:00:02.0", "0000:00:01.0",
     'VM "blue", device "edu": 0000:00:01.0 is given to VM "red" already'),
    ("none-allowed", "none", 'VM "blue", device "edu": reset "none" must be "required" or '
     '"none-allowed"'),
    ('pci = "0000:00:01.0"', "", 's.toml: VM "red", device "disk": setting "pci" is missing'),
    ("devices.disk = {", "devices.disk = { irq = 1,",
     's.toml: VM "red", device "disk": unknown setting "irq"'),
    ("[vm.red]", '[vm."r d"]', 'VM "r d": a name must be 1 to 31 letters, digits, - or _'),
    ('linux = "Image"', 'linux = "initramfs.gz"',
     'VM "red": kernel "linux" is no RISC-V Linux Image'),
)


@pytest.mark.parametrize("old, new, words", REFUSED, ids=[words[:50] for *_, words in REFUSED])
def test_bad_settings_get_one_sentence_and_no_file(bundle, tmp_path, old, new, words):
    assert old in SETTINGS
    text = SETTINGS.replace(old, new, 1)
    if "kernel" in words:
        text = text.split("[vm.blue]")[0]
    assert refusal(bundle, tmp_path, text) == words


def test_what_is_no_toml_is_a_sentence_with_a_place(bundle, tmp_path):
    words = refusal(bundle, tmp_path, SETTINGS.replace("[images]", "[images"))
    assert words.startswith("s.toml: no TOML: ") and "line 2" in words


def test_what_is_no_text_is_a_sentence(bundle, tmp_path):
    (tmp_path / "s.toml").write_bytes(b"[vm.r\xff]")
    done = bundle("make", tmp_path / "s.toml", "-o", tmp_path / "out.itb", ok=False)
    assert done.stderr == f"error: {tmp_path}/s.toml: 'utf-8' codec can't decode byte 0xff in position 5: invalid start byte\n"


def test_overrides_of_what_is_not_there_are_refused(bundle, tmp_path):
    assert refusal(bundle, tmp_path, SETTINGS, "--image", "bsd=x") == \
        "s.toml: --image bsd: there is no such image"
    assert refusal(bundle, tmp_path, SETTINGS, "--image", "linux") == \
        "s.toml: --image linux: must be of the form NAME=VALUE"
    assert refusal(bundle, tmp_path, SETTINGS, "--bootargs", "green=x") == \
        "s.toml: --bootargs green: there is no such VM"


def test_the_guests_of_the_story_make_a_bundle(bundle, root, tmp_path):
    (tmp_path / "k").write_bytes(kernel())
    bundle("make", root / "tools/story/story.toml", "-o", tmp_path / "story.itb",
           "--image", f"linux={tmp_path}/k", "--image", f"initramfs={tmp_path}/initramfs.gz")
    red, blue = json.loads(bundle("check", "--json", tmp_path / "story.itb").stdout)["vms"]
    assert (red["name"], red["vcpus"], red["pool_len"]) == ("red", 2, 0)
    assert (blue["name"], blue["vcpus"], blue["ram_base"], blue["pool_len"]) == \
        ("blue", 1, 0, 8 << 20)
    assert red["scatter_pieces"] == blue["scatter_pieces"] == 0x201
    assert [d["reset"] for d in red["devices"]] == ["required"]
    assert [d["reset"] for d in blue["devices"]].count("none-allowed") >= 2
