"""Planted faults: their files are read strictly, and a fault that no longer applies is named."""
import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "dma-tests/teeth"))
import catch  # noqa: E402
import fault  # noqa: E402
from tree import Tree  # noqa: E402

HEAD = "fault: it is wrong\nbreaks: INV 1\ncatcher: unit test_a test_b\n"
HUNK = "file: a.c\n<<<<\nold\n====\nnew\n>>>>\n"


def write(folder, text, name="one"):
    path = folder / f"{name}.fault"
    path.write_text(text)
    return path


def test_a_fault_changes_what_it_names_and_no_shared_copy(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "a.c").write_text("first\nold\nlast\n")
    (tmp_path / "tree/a.c").hardlink_to(tmp_path / "a.c")
    fault.load(write(tmp_path, HEAD + HUNK)).apply(tmp_path / "tree")
    assert (tmp_path / "tree/a.c").read_text() == "first\nnew\nlast\n"
    assert (tmp_path / "a.c").read_text() == "first\nold\nlast\n"


@pytest.mark.parametrize("text", ["nothing\n", "old\nold\n"])
def test_text_that_stands_there_not_once_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "a.c").write_text(text)
    with pytest.raises(fault.FaultError, match="a.c"):
        fault.load(write(tmp_path, HEAD + HUNK)).apply(tmp_path)
    assert (tmp_path / "a.c").read_text() == text


@pytest.mark.parametrize("text", [
    "", HEAD, HUNK, HEAD + "file: a.c\n", HEAD + HUNK + "more\n", HEAD + "other: 1\n" + HUNK,
    HEAD + "control: too\n" + HUNK, HEAD.replace("unit test_a test_b", "unit test_a") + HUNK,
    HEAD.replace("unit", "eyes") + HUNK, HEAD + HUNK.replace("old", "new"), HEAD + HUNK.replace(">>>>", ">>>")])
def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path, text):
    with pytest.raises(fault.FaultError, match="one.fault"):
        fault.load(write(tmp_path, text))


def test_every_planted_fault_applies_and_names_a_test_that_exists():
    for planted in fault.load_all(ROOT / "dma-tests/teeth"):
        planted.change(lambda path: (ROOT / path).read_text())
        if planted.catcher:
            kind, place = planted.catcher.kind, planted.catcher.place
            source = ROOT / f"dma-tests/{kind}/{place}{'.c' if kind == 'unit' else ''}"
            assert f" {planted.catcher.test}(" in source.read_text(), planted.name


def test_an_unknown_fault_is_an_error(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools/teeth", "--folder", tmp_path, "no-such-fault"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and "no-such-fault" in done.stderr and not list(tmp_path.iterdir())


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, ROOT / "tools/teeth", "--folder", tmp_path, "pt-step"],
                              capture_output=True, text=True)
    assert done.returncode == 1 and f"another run works in {tmp_path}" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize(("old", "new", "verdict"), [
    ("return 1;", "return 3;", "caught"), ("return 2;", "return 3;", "SURVIVED"),
    ("return 1;", "for (;;);", "HUNG")])
def test_a_fault_is_caught_by_the_named_test_or_survives(tmp_path, old, new, verdict):
    """A tree of one function and one test, whose makefile says how it is built."""
    tree = tmp_path / "tree"
    for name in ("dma-tests/unit", "dma-tests/teeth", "tools"):
        (tree / name).mkdir(parents=True)
    for name in ("tools/teeth", "dma-tests/teeth/fault.py", "dma-tests/teeth/tree.py", "dma-tests/teeth/catch.py",
                 "dma-tests/teeth/only.c"):
        (tree / name).write_bytes((ROOT / name).read_bytes().replace(b"UNIT_TIMEOUT = 30", b"UNIT_TIMEOUT = 2"))
    (tree / "dma-tests/unit/test_a.c").write_text(
        "#include <setjmp.h>\n#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <cmocka.h>\n"
        "static int one(void)\n{\n    return 1;\n}\nint two(void)\n{\n    return 2;\n}\n"
        "static void test_b(void **state)\n{\n    (void)state;\n    assert_int_equal(one(), 1);\n}\n"
        "int main(void)\n{\n    const struct CMUnitTest tests[] = {cmocka_unit_test(test_b)};\n"
        "    return cmocka_run_group_tests(tests, NULL, NULL);\n}\n")
    (tree / "Makefile").write_text(
        "out/asan/unit/%: dma-tests/unit/%.c\n\tmkdir -p $(@D) && gcc -o $@ $< -lcmocka\n")
    write(tree / "dma-tests/teeth", HEAD + f"file: dma-tests/unit/test_a.c\n<<<<\n    {old}\n====\n    {new}\n>>>>\n")
    done = subprocess.run([sys.executable, tree / "tools/teeth", "--json", tmp_path / "j"], capture_output=True, text=True)
    assert json.loads((tmp_path / "j").read_text())["faults"][0]["verdict"] == verdict, done.stdout + done.stderr
    assert done.returncode == (verdict != "caught")


@pytest.mark.parametrize("body", ["while True: pass", "signal.pthread_sigmask(signal.SIG_BLOCK, [14]); signal.pause()"])
def test_a_python_test_that_is_stopped_in_its_body_or_with_all_of_pytest_has_caught_nothing(tmp_path, monkeypatch, body):
    (tmp_path / "dma-tests/qtest").mkdir(parents=True)
    (tmp_path / "dma-tests/qtest/test_a.py").write_text(f"import signal\n\n\ndef test_b():\n    {body}\n")
    monkeypatch.setitem(catch.PYTEST_TIMEOUT, "qtest", 6)
    monkeypatch.setattr(catch, "PYTEST_END", 5)
    with pytest.raises(catch.Hung, match=r"Timeout \(?>1|did not end within 6 s"):
        catch.run(fault.Catcher("qtest", "test_a.py", "test_b"), Tree(tmp_path), tmp_path / "scratch")
