"""The tools that run tests and make images, fed what must not pass unseen."""
import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"


def run(tool, *arguments, **more):
    return subprocess.run([TOOLS / tool, *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, **more)


def script(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return path


PROGRAMS = sorted(str(path.relative_to(TOOLS)) for folder in (TOOLS, TOOLS / "guest", TOOLS / "story")
                  for path in folder.iterdir() if path.is_file() and os.access(path, os.X_OK) and path.name != "init")


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_has_a_help_and_refuses_an_option_that_it_does_not_know(name):
    helped, refused = run(name, "--help"), run(name, "--no-such-option")
    assert helped.returncode == 0 and helped.stdout.strip() and not helped.stderr
    assert refused.returncode != 0 and refused.stderr.strip() and not refused.stdout


PASSING = "echo '[  PASSED  ] 3 test(s).'"


@pytest.mark.parametrize("text, verdict", [
    (f"{PASSING}; echo '[  FAILED  ] 2 test(s), listed below:'; exit 2", "2 failed"),
    (f"{PASSING}; exit 1", "exit status 1"),
    (f"{PASSING}; kill -ABRT $$", "killed by signal 6"),
    ("exit 0", "ran no test"),
    (f"{PASSING}; exec sleep 30", "did not end within 9 s"),
    (f"{PASSING}; while :; do :; done", "took more than 1 s of a processor"),
])
def test_run_unit_reports_a_program_that(tmp_path, text, verdict):
    done = run("run-unit", "--cpu", 1, "--timeout", 9, script(tmp_path, "test_good", PASSING),
               script(tmp_path, "test_bad", text))
    assert done.returncode == 1
    assert f"FAILED: {verdict}" in done.stdout
    assert done.stdout.count("FAILED:") == 1


def test_run_unit_counts_what_passed(tmp_path):
    done = run("run-unit", script(tmp_path, "test_good", f"{PASSING}; {PASSING}"))
    assert done.returncode == 0
    assert "unit: 6 passed, 0 failed" in done.stdout


def test_phases_goes_on_after_a_failure_and_then_fails(tmp_path):
    make = script(tmp_path, "make", '[ "$2" != bad ]')
    done = run("phases", "all", "bad", "good", env={**os.environ, "MAKE": str(make)})
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "good" in done.stdout.split("-- all:")[1]


def test_run_pytest_names_a_folder_without_tests(tmp_path):
    done = run("run-pytest", tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"left out: {tmp_path} has no test yet\n"


def test_run_pytest_fails_when_no_test_ran(tmp_path):
    (tmp_path / "test_empty.py").write_text("")
    assert run("run-pytest", tmp_path).returncode != 0


def make_initramfs(tmp_path, listing):
    (tmp_path / "list").write_text(listing)
    done = run("guest/make-initramfs", "--list", tmp_path / "list",
               "--output", tmp_path / "out.gz", cwd=tmp_path)
    return done, tmp_path / "out.gz"


def test_initramfs_holds_what_its_list_says_with_root_as_owner(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello\n")
    done, archive = make_initramfs(tmp_path, "dir /dev 0755\nnod /dev/console 0600 c 5 1\n"
                                   "slink /sbin bin\nfile /hello hello 0755 # a file\n")
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(["cpio", "-tv", "--numeric-uid-gid"], capture_output=True, check=True,
                            input=gzip.decompress(archive.read_bytes())).stdout.decode()
    lines = {line.split(" 1970 ")[1]: line.split() for line in listed.splitlines()}
    assert lines["dev"][0] == "drwxr-xr-x"
    assert lines["dev/console"][:6] == ["crw-------", "1", "0", "0", "5,", "1"]
    assert lines["hello"][:5] == ["-rwxr-xr-x", "1", "0", "0", "6"]
    assert "sbin -> bin" in lines


def test_initramfs_has_the_same_bytes_each_time(tmp_path):
    listing = "dir /a 0755\nfile /b hello 0644\n"
    (tmp_path / "hello").write_bytes(b"x")
    first = make_initramfs(tmp_path, listing)[1].read_bytes()
    os.utime(tmp_path / "hello", (1, 1))
    assert make_initramfs(tmp_path, listing)[1].read_bytes() == first


def test_initramfs_refuses_a_line_it_cannot_read(tmp_path):
    done, archive = make_initramfs(tmp_path, "dir /a 0755\nfifo /b 0644\n")
    assert done.returncode != 0
    assert "list:2: cannot read" in done.stderr
    assert not archive.exists()


@pytest.mark.parametrize("add, output, why", [
    ("first", "out.zst", "--add first: must be of the form PATH=FILE"),
    ("/bin/first=no-such", "out.zst", "no-such: No such file or directory"),
    ("/bin/first=/dev/null", "no-such/out.zst", "no-such/out.zst: No such file or directory"),
    ("/bin/first=/dev/null", "/dev/full", "/dev/full: No space left on device")])
def test_initramfs_says_in_a_line_what_it_cannot_read_or_write(tmp_path, add, output, why):
    done = run("guest/make-initramfs", "--add", add, "--output", output, cwd=tmp_path)
    assert done.returncode != 0 and done.stderr.splitlines()[-1] == f"make-initramfs: {'error: ' * ('form' in why)}{why}"


def sizes_in(archive):
    """{path: bytes} of an initramfs."""
    data = subprocess.run(["zstd", "-dc", archive], capture_output=True, check=True).stdout
    listed = subprocess.run(["cpio", "-tv"], capture_output=True, check=True, input=data).stdout.decode()
    return {line.split()[-1]: int(line.split()[4]) for line in listed.splitlines()}


def test_initramfs_brings_what_an_added_program_needs_and_refuses_another_machines(tmp_path):
    libraries = tmp_path / "sysroot/usr/lib/x-linux-gnu"
    libraries.mkdir(parents=True)
    for name, needs in (("libb.so.1", ()), ("liba.so.1", ("-l:libb.so.1",)), ("mine", ("-l:liba.so.1",))):
        subprocess.run(["riscv64-linux-gnu-gcc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", libraries / name,
                        f"-Wl,-soname,{name}", "-L", libraries, "-Wl,--no-as-needed", *needs], check=True)
    (libraries / "mine").rename(tmp_path / "mine")

    def add(program):
        return run("guest/make-initramfs", "--add", f"/bin/mine={program}", "--sysroot", tmp_path / "sysroot",
                   "--output", tmp_path / "out.zst")

    assert add(tmp_path / "mine").returncode == 0
    assert {path for path, size in sizes_in(tmp_path / "out.zst").items() if size} == {
        "bin/mine", "usr/lib/x-linux-gnu/liba.so.1", "usr/lib/x-linux-gnu/libb.so.1"}
    done = add("/bin/true")
    assert done.returncode != 0 and "/bin/true: a program for another machine than RISC-V" in done.stderr


def test_initramfs_brings_the_shared_objects_that_a_program_needs_stripped(tmp_path):
    sysroot, libraries = tmp_path / "sysroot", tmp_path / "sysroot/usr/lib/x-linux-gnu"
    libraries.mkdir(parents=True)
    (sysroot / "usr/bin").mkdir()
    for name, needs in (("libb.so.1", ()), ("liba.so.1", ("-l:libb.so.1",)), ("libc.so.1", ())):
        subprocess.run(["gcc", "-g", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", libraries / name,
                        f"-Wl,-soname,{name}", "-L", libraries, "-Wl,--no-as-needed", *needs], check=True)
    program = sysroot / "usr/bin/program"
    subprocess.run(["gcc", "-g", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", program, "-L", libraries,
                    "-Wl,--no-as-needed", "-l:liba.so.1"], check=True)

    def build():
        (tmp_path / "list").write_text("elf /usr/bin/prog*\n")
        return run("guest/make-initramfs", "--list", tmp_path / "list", "--sysroot", sysroot, "--cross", "",
                   "--output", tmp_path / "out.zst")

    done = build()
    assert done.returncode == 0, done.stderr
    sizes = sizes_in(tmp_path / "out.zst")
    assert {Path(path).name for path, size in sizes.items() if size} == {"program", "liba.so.1", "libb.so.1"}
    assert 0 < sizes["usr/bin/program"] < program.stat().st_size
    (libraries / "libb.so.1").unlink()
    done = build()
    assert done.returncode != 0 and "libb.so.1 is needed" in done.stderr


def test_initramfs_brings_what_a_module_depends_on_and_refuses_an_unknown_one(tmp_path):
    folder = tmp_path / "6.0"
    (folder / "kernel").mkdir(parents=True)
    for name in ("a", "b-c", "d"):
        (folder / f"kernel/{name}.ko").write_bytes(name.encode())
    (folder / "modules.dep").write_text("kernel/a.ko: kernel/b-c.ko\nkernel/b-c.ko:\nkernel/d.ko:\n")
    (tmp_path / "list").write_text("dir /lib 0755\n")

    def build(module):
        (tmp_path / "modules").write_text(f"# wanted\n{module} # why\n")
        return run("guest/make-initramfs", "--list", tmp_path / "list", "--modules", folder,
                   "--module-list", tmp_path / "modules", "--output", tmp_path / "out.gz")

    assert build("a").returncode == 0
    listed = subprocess.run(["cpio", "-t"], capture_output=True, check=True,
                            input=gzip.decompress((tmp_path / "out.gz").read_bytes())).stdout
    names = listed.decode().split()
    assert "lib/modules/6.0/a.ko" in names and "lib/modules/6.0/b-c.ko" in names
    assert "lib/modules/6.0/d.ko" not in names
    done = build("nothing")
    assert done.returncode != 0 and "no module nothing" in done.stderr


@pytest.fixture
def cache(tmp_path):
    """A cache with one fetched package in it, and the manifest line that apt's check gave."""
    folder = tmp_path / "cache" / "riscv64-trixie"
    (folder / "debs").mkdir(parents=True)
    package = folder / "debs" / "thing_1_riscv64.deb"
    package.write_bytes(b"not really")
    digest = subprocess.run(["sha256sum", package], capture_output=True, text=True).stdout.split()[0]
    (folder / "manifest").write_text(f"{digest} {package.name} thing\n")
    return package


def packages(cache_package, *arguments, path=None):
    environment = {**os.environ, "CORDON_CACHE": str(cache_package.parents[2])}
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    return run("riscv64-packages", *arguments, env=environment)


def test_packages_in_the_cache_are_not_fetched_again(tmp_path, cache):
    tripwire = tmp_path / "bin"
    tripwire.mkdir()
    script(tripwire, "apt-get", "echo apt was called >&2; exit 9")
    assert packages(cache, "fetch", "thing", path=tripwire).returncode == 0
    assert packages(cache, "fetch", "other", path=tripwire).returncode != 0


def test_a_package_changed_in_the_cache_is_refused(cache):
    cache.write_bytes(b"tampered")
    done = packages(cache, "fetch", "thing")
    assert done.returncode != 0
    assert "has changed since it was fetched" in done.stderr


def test_path_names_the_cached_file_and_says_how_to_get_one_that_is_not(cache):
    assert packages(cache, "path", "thing").stdout.strip() == str(cache)
    done = packages(cache, "path", "other")
    assert done.returncode != 0 and "fetch other" in done.stderr


def make_package(cache_package, name, depends):
    """A package with one file of its name, in the cache."""
    tree, folder = cache_package.parents[2] / name, cache_package.parents[1]
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / name).write_text(name)
    (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1\nArchitecture: riscv64\nMaintainer: a <a@b>\n"
                                         f"Depends: {depends}\nDescription: a\n")
    deb = folder / "debs" / f"{name}_1_riscv64.deb"
    subprocess.run(["dpkg-deb", "--build", tree, deb], check=True, capture_output=True)
    digest = subprocess.run(["sha256sum", deb], capture_output=True, text=True, check=True).stdout.split()[0]
    with (folder / "manifest").open("a") as manifest:
        manifest.write(f"{digest} {deb.name} {name}\n")


def test_libraries_of_a_package_come_with_it_however_deep_and_nothing_else(tmp_path, cache):
    for name, depends in (("program", "liba1 (>= 2), python3, liba-dev"), ("liba1", "libb2 | libz9, liba1"),
                          ("libb2", "libc6:any"), ("libc6", "liba1"), ("python3", "libz9"), ("liba-dev", "libz9")):
        make_package(cache, name, depends)
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin", "apt-get", "echo apt was called >&2; exit 9")
    done = packages(cache, "fetch", "--libraries", "program", path=tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    assert packages(cache, "unpack", "--libraries", "program", tmp_path / "out").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"program", "liba1", "libb2", "libc6"}
    assert packages(cache, "unpack", "program", tmp_path / "one").returncode == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"program"}


def test_setup_lists_every_package_with_a_reason():
    done = run("setup", "--list")
    assert done.returncode == 0
    for line in done.stdout.splitlines():
        assert len(line.split()) >= 3, line


@pytest.fixture
def open_folder():
    """A folder that an ordinary user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become an ordinary user")
@pytest.mark.parametrize("asked, used", [([], "-"), (["dpdk"], "dpdk")], ids=["plain", "dpdk"])
def test_setup_without_root_and_sudo_says_what_is_missing_and_who_must_run_it(open_folder, asked, used):
    shutil.copytree(TOOLS, open_folder / "tools")
    other = {"-": "dpdk", "dpdk": "-"}[used]
    (open_folder / "tools/packages.txt").write_text(f"no-such-package-of-cordon {used} a test\nno-other {other} a test\n")
    (open_folder / "bin").mkdir()
    for name in ("bash", "env", "id", "dpkg-query", "dpkg", "awk", "grep", "apt-get", "dirname"):
        (open_folder / "bin" / name).symlink_to(shutil.which(name))
    done = subprocess.run([shutil.which("setpriv"), "--reuid=65534", "--regid=65534",
                           "--clear-groups", open_folder / "tools/setup", *asked], capture_output=True,
                          text=True, env={"PATH": str(open_folder / "bin")}, timeout=60)
    assert done.returncode != 0
    assert "no-such-package-of-cordon" in done.stdout and "no-other" not in done.stdout
    assert "needs root" in done.stderr and " ".join([f"{open_folder}/tools/setup", *asked]) + "\n" in done.stderr


def test_warnings_as_errors_build_nothing_again():
    def make(*words):
        done = subprocess.run(["make", "-C", ROOT, *words, "out/host/flags"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return (ROOT / "out/host/flags").stat().st_mtime_ns
    assert make() == make("WERROR=1") == make("WERROR=0")
