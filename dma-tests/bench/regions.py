"""How a map's cost grows with its regions, in instructions (bench_regions.c), with a picture."""
from math import log

import callgrind
from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_regions"
PICTURE = TREE / "out/bench/regions.svg"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
OPERATIONS = ("lookup", "insert", "remove")
LINEAR = 1.1  # an audit's instructions a region may grow by a tenth


def run(env):
    sizes = SIZES[:2] if env.quick else SIZES
    curve = {}
    for size in sizes:
        env.say(f"regions: a map of {size:,}, under callgrind")
        curve[size] = callgrind.dumps(PROGRAM, ["--regions", size])
    _draw(curve)
    least, most = sizes[0], sizes[-1]
    note = f"{most:,} regions; all of the curve is in {PICTURE.relative_to(TREE)}"
    more = {"curve": {str(size): row for size, row in curve.items()}}
    figures = [Figure("regions", name, "instructions", curve[most][name], curve[least][name],
                      f"{least:,} regions", round(log(most) / log(least), 3), note=note, more=more)
               for name in OPERATIONS]
    return figures + [Figure("regions", "audit", "instructions a region", curve[most]["audit"] / most,
                             curve[least]["audit"] / least, f"{least:,} regions", LINEAR, note=note, more=more)]


def _draw(curve):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    figure, left = pyplot.subplots(figsize=(7, 4))
    right = left.twinx()
    for name in OPERATIONS:
        left.plot(list(curve), [row[name] for row in curve.values()], marker="o", label=name)
    right.plot(list(curve), [row["audit"] / size for size, row in curve.items()], "k--", marker="x",
               label="audit, a region")
    left.set(xscale="log", xlabel="regions in the map", ylabel="instructions", ylim=0)
    right.set(ylabel="instructions a region", ylim=0)
    left.legend(loc="upper left")
    right.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(PICTURE)
    pyplot.close(figure)
