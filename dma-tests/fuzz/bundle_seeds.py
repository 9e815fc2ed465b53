#!/ usr / bin / python3
"""Writes the inputs from which fuzzing starts: the good and bad bundles of dma-tests/config, and a
guest's device tree.
usage: bundle_seeds.py FOLDER-FOR-BUNDLES FOLDER-FOR-TREES
"""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "config"), str(HERE.parent.parent / "tools/lib")]
from test_bundle_agree import BAD, GOOD, spoil  # noqa: E402
from trees import Node, flatten, text, u32, u64  # noqa: E402


def guest_tree():
    cpus = [Node(f"cpu@{n}", [["device_type", text("cpu")], ["reg", u32(n)]]) for n in range(2)]
    return flatten(Node("", [["#address-cells", u32(2)], ["#size-cells", u32(2)]], [
        Node("cpus", [["#address-cells", u32(1)], ["timebase-frequency", u32(1)]], cpus),
        Node("memory@0", [["device_type", text("memory")], ["reg", u64(0) + u64(1 << 30)]]),
        Node("chosen", [["bootargs", text("x")]]),
        Node("reserved-memory", [["ranges", b""]])]))


def main():
    bundles, trees = map(Path, sys.argv[1:3])
    for folder in (bundles, trees):
        folder.mkdir(parents=True, exist_ok=True)
    for name, change in (*GOOD.items(), *BAD.items()):
        (bundles / f"{name}.itb").write_bytes(spoil(change))
    (trees / "guest.dtb").write_bytes(guest_tree())


if __name__ == "__main__":
    main()
