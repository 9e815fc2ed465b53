"""The whole story in short, and its controls: what they find, read from their JSON."""
import json
import subprocess
import sys

import pytest

from machine import TREE

RUN = TREE / "tools/run"
CLASSES = {"red's-RAM", "free-frame", "page-table", "hypervisor", "firmware", "bundle"}


def run(folder, *arguments, timeout=280):
    """(exit status, what JSON says, what was printed)."""
    done = subprocess.run([sys.executable, RUN, "--json", folder / "out.json", "--folder", folder,
                           *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=timeout, check=False)
    text = done.stdout.decode(errors="replace")
    assert (folder / "out.json").exists(), text
    return done.returncode, json.loads((folder / "out.json").read_text()), text


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    return run(tmp_path_factory.mktemp("story"), "--quick")


@pytest.mark.timeout(300)
def test_story_ends_confined(story):
    status, found, text = story
    assert (status, found["verdict"]) == (0, "CONFINED"), text
    assert found["escapes"] == [] and found["troubles"] == []
    assert "\x1b[" not in text  # colour is for terminals


def test_story_hashes_every_frame_and_none_changed(story):
    judged = story[1]["judge"]
    frames = judged["frames_hashed"] + judged["frames_kept_out"]
    blue = (256 + 8 << 20) // 4096
    assert (3 << 30) // 4096 - blue <= frames <= (3 << 30) // 4096 - blue + 4  # pages given back
    assert judged["frames_changed"] == 0 and judged["markers_found"] == 0
    assert judged["frames_kept_out"] < 4096
    assert story[1]["device_state"]["registers_compared"] >= 15
    assert story[1]["device_state"]["registers_changed"] == 0


def test_story_attacks_by_every_edu_and_each_is_refused_and_recorded(story):
    *devices, total = story[1]["devices"]
    edus = [d for d in devices if d["device"].endswith("edu")]
    assert len(edus) == 8
    for edu in edus:
        assert edu["attempts"] == edu["refused"] > 20
        assert edu["fault_records"] > 0 and edu["bytes_moved"] > 0
    assert total["attempts"] > 300 and "fault_records_lost" in total and "overflows" in total


def test_story_moves_bytes_by_both_disks(story):
    assert story[1]["disks"]["red"]["written"] >= 8 << 20
    assert story[1]["disks"]["red"]["read"] >= (2 * 16 + 8) << 20
    assert story[1]["blue_disk"] == {"bytes": 16 << 20, "right": True}
    assert story[1]["red"]["rounds"] >= 1 and story[1]["red"]["bad"] == 0


def test_story_opens_a_hole_at_the_registers_of_the_iommu(story):
    assert story[1]["hole"]["how"] == "made"


def test_story_gives_pages_back_under_dma_and_nothing_lands(story):
    given = story[1]["given_back"]
    assert len(given) == 2
    for one in given:
        assert one["dma_on_its_way"] > 0 and one["landed"] == 0
        assert one["frame_now"] == "revoking" and one["fresh_page"]


def test_story_samples_the_pool_in_one_host_run(story):
    pool = story[1]["pool"]
    assert pool["host_runs"] == 1 and pool["pages_sampled"] == 17
    assert pool["right_out"] == pool["right_in"] == pool["right_in_host_run"] == 17


def test_story_records_every_forged_message(story):
    messages = story[1]["messages"]
    assert messages["forged"] > 20
    assert messages["recorded"] + messages["counted_only"] == messages["forged"]


def test_story_counts_exits(story):
    exits = story[1]["exits"]
    assert exits["blue"]["mmio"] > 0 and exits["red"]["sbi"] > 0


@pytest.mark.timeout(300)
def test_control_without_iommu_sees_every_attack_land(tmp_path):
    status, found, text = run(tmp_path, "--control", "no-iommu")
    assert (status, found["verdict"]) == (0, "SEEN"), text
    assert found["missed"] == []
    assert {line.split()[2] for line in found["landed"]} == CLASSES
    assert len(found["landed"]) == 2 * len(CLASSES)


@pytest.mark.timeout(300)
def test_control_with_an_open_view_sees_every_attack_land(tmp_path):
    status, found, text = run(tmp_path, "--control", "open-view")
    assert (status, found["verdict"]) == (0, "SEEN"), text
    assert len(found["landed"]) == 2 * len(CLASSES)


@pytest.mark.timeout(300)
def test_control_on_a_machine_that_confines_fails(tmp_path):
    """The product instead of the open view: nothing lands, and the control says so."""
    sys.path[:0] = [str(TREE / "tools/story")]
    from control import Control  # noqa: PLC0415
    from progress import Progress  # noqa: PLC0415

    control = Control("open-view", Progress(None, quiet=True), folder=tmp_path)
    try:
        control.open()
        control.attack()
    finally:
        control.close()
    assert control.landed == [] and len(control.missed) == 2 * len(CLASSES)
    assert not control.sees and control.as_dict()["verdict"] == "FAILED"
    assert control.verdict.troubles == []
