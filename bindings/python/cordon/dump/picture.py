"""A dump as a picture: each agent's GPA space with its page sizes and rights, above host memory with who
reaches it."""
from math import log2

from .format import PAGE, Dump
from .views import SIZES, Loans, Reach, View

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974")
SHADES = {"4K": "#c6dbef", "2M": "#6baed6", "1G": "#2171b5"}
FOREIGN = "#d62728"
MOST = 64    # runs of an agent
BINS = 1000  # parts of host memory


def draw(dump: Dump, views: list[View], path: str) -> None:
    """Write the picture; the ending of PATH (svg, png, pdf) decides the format."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    matplotlib.rcParams["text.parse_math"] = False  # in names, too
    from matplotlib import pyplot
    rows = len(views) + 1
    figure, axes = pyplot.subplots(rows, 1, figsize=(11, 1.3 * rows + 0.6), squeeze=False)
    reach = Reach(views, Loans(dump))
    for axis, view in zip(axes[:-1, 0], views):
        _agent(axis, view, reach)
    _host(axes[-1, 0], views)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _width(length):
    """Sizes differ by millions: a block is as wide as the logarithm of its pages."""
    return 1 + log2(max(1, length // PAGE))


def _block(axis, at, width, colour, label, address, hatch=None):
    axis.barh(0, width, left=at, height=0.8, color=colour, edgecolor="white", hatch=hatch)
    axis.text(at + width / 2, 0, label, ha="center", va="center", fontsize=7)
    axis.text(at, -0.62, address, ha="left", va="top", fontsize=6, rotation=0)


def _finish(axis, title, end):
    axis.set_title(title, loc="left", fontsize=8)
    axis.set_xlim(0, max(end, 1))
    axis.set_ylim(-1.1, 0.5)
    axis.axis("off")


def _agent(axis, view, reach):
    at = 0.0
    for number, run in enumerate(view.runs[:MOST]):
        if number and view.runs[number - 1].gpa + view.runs[number - 1].len != run.gpa:
            axis.text(at + 0.3, 0, "…", ha="center", va="center")
            at += 0.6
        foreign = any(not why for _, why in reach.others(view, run))
        colour = FOREIGN if foreign else SHADES.get(SIZES.get(run.size), "#eeeeee")
        width = _width(run.len)
        _block(axis, at, width, colour, f"{SIZES.get(run.size, run.size)} {run.perms}\n{len(run.parts)} host runs",
               f"{run.gpa:#x}", "//" if "w" not in run.perms else None)
        at += width
    more = f", {len(view.runs) - MOST} more runs" if len(view.runs) > MOST else ""
    _finish(axis, f"{view.agent}: GPA, {view.mode}{more}", at)


def bins_of(views, low, high, count=BINS):
    """For each of COUNT equal parts of LOW..HIGH the names of the domains that reach some of it."""
    found = [set() for _ in range(count)]
    for view in views:
        for run in view.runs:
            for hpa, length in run.parts:
                first = (hpa - low) * count // (high - low)
                last = (hpa + length - 1 - low) * count // (high - low)
                for number in range(first, last + 1):
                    found[number].add(view.domain or view.agent)
    return found


def shared_bytes(views):
    """Bytes of host memory that more than one domain reaches."""
    edges = sorted((at, name, change) for view in views for run in view.runs for hpa, length in run.parts
                   for at, name, change in ((hpa, view.domain or view.agent, 1),
                                            (hpa + length, view.domain or view.agent, -1)))
    shared, last, count = 0, 0, {}
    for at, name, change in edges:
        if sum(times > 0 for times in count.values()) > 1:
            shared += at - last
        count[name] = count.get(name, 0) + change
        last = at
    return shared


def _host(axis, views):
    """Host memory from left to right, true to scale."""
    parts = [part for view in views for run in view.runs for part in run.parts]
    if not parts:
        return _finish(axis, "HPA: nothing is reached", 1)
    from matplotlib.colors import is_color_like
    low, high = min(hpa for hpa, _ in parts), max(sum(part) for part in parts)
    bins, names = bins_of(views, low, high), sorted({view.domain or view.agent for view in views})
    for number, name in enumerate(names):
        axis.broken_barh([(at, 1) for at, who in enumerate(bins) if name in who],
                         (-0.4 + 0.8 * number / len(names), 0.8 / len(names)),
                         color=name if is_color_like(name) else COLOURS[number % len(COLOURS)], label=name)
    axis.text(0, -0.62, f"{low:#x}", ha="left", va="top", fontsize=6)
    axis.text(BINS, -0.62, f"{high - 1:#x}", ha="right", va="top", fontsize=6)
    axis.legend(loc="upper right", bbox_to_anchor=(1, 1.45), ncols=len(names), fontsize=6, frameon=False)
    shared = shared_bytes(views)
    told = f"{shared:#x} bytes are reached by more than one domain" if shared else "no byte is reached by two domains"
    _finish(axis, f"HPA, who reaches it: {told}", BINS)
