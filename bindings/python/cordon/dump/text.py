"""A dump for people: tables of text."""
from rich.table import Table
from rich.text import Text

from .views import SIZES, Loans, Reach

COLUMNS = (("GPA", "left"), ("bytes", "right"), ("rights", "left"), ("leaves", "right"), ("host memory", "left"),
           ("also reached by", "left"))


def short(size):
    """4096 as 4K, 0x12345 as 74565."""
    for letter, shift in (("T", 40), ("G", 30), ("M", 20), ("K", 10)):
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{letter}"
    return str(size)


def _backing(run, dump):
    hpa = run.parts[0][0]
    if len(run.parts) > 1:
        return f"{len(run.parts)} runs, first {hpa:#x}"
    return f"{hpa:#x}-{hpa + run.len - 1:#x}"


def _others(reach, view, run):
    text = Text()
    for agent, why in reach.others(view, run):
        text.append(", " if text else "")
        text.append(agent + (" (loan)" if why == "loan" else ""), style="" if why else "bold red")
    return text if text else Text("nobody else", style="dim")


def show(console, dump, views, most=16):
    """Print the dump on a rich console, at most MOST runs a view."""
    reach = Reach(views, Loans(dump))
    console.print(Text(f"{dump.made_by}: {len(dump.domains)} domains, {len(dump.devices)} devices, "
                       f"{len(dump.iommus)} IOMMUs, {len(dump.pages)} pages of memory"))
    for iommu in dump.iommus:
        ddtp = iommu.register(0x10, 8)
        mode = ("Off", "Bare", "1 level", "2 levels", "3 levels")[ddtp & 15] if ddtp & 15 < 5 else "reserved"
        console.print(f"IOMMU at {iommu.base:#x}: ddtp {mode}, root {(ddtp >> 10 & (1 << 44) - 1) << 12:#x}, "
                      f"capabilities {iommu.register(0, 8):#x}")
    for view in views:
        console.print(_table(dump, view, reach, most))
        for file, hpa in sorted(view.msis.items()):
            console.print(f"  MSI file {file} -> {hpa:#x}")
        for sentence in view.broken:
            console.print(Text(f"  BROKEN: {sentence}", style="bold red"))


def _table(dump, view, reach, most):
    owner = f" of {view.domain}" if view.domain and not view.agent.endswith(f" {view.domain}") else ""
    table = Table(title=Text(f"{view.agent}{owner}: {view.mode}, root {view.root:#x}, {short(view.bytes)} reached"),
                  title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, no_wrap=name != "also reached by")
    for run in view.runs[:most]:
        table.add_row(f"{run.gpa:#x}-{run.gpa + run.len - 1:#x}", short(run.len), run.perms,
                      f"{run.len // run.size} of {SIZES.get(run.size, short(run.size))}", _backing(run, dump),
                      _others(reach, view, run))
    if len(view.runs) > most:
        table.add_row(f"and {len(view.runs) - most} more", "", "", "", "", "")
    return table


def to_json(dump, views):
    """The same as plain values, with every run and part."""
    reach = Reach(views, Loans(dump))
    return {
        "made_by": dump.made_by,
        "iommus": [{"base": i.base, "ddtp": i.register(0x10, 8), "capabilities": i.register(0, 8)}
                   for i in dump.iommus],
        "domains": [vars(d) for d in dump.domains], "devices": [vars(d) for d in dump.devices],
        "harts": [vars(h) for h in dump.harts],
        "views": [{"agent": v.agent, "domain": v.domain, "mode": v.mode, "root": v.root, "bytes": v.bytes,
                   "msis": {str(k): hex(hpa) for k, hpa in v.msis.items()}, "broken": v.broken,
                   "runs": [{**run.to_json(), "others": [
                       {"agent": agent, "entitled": why} for agent, why in reach.others(v, run)]}
                       for run in v.runs]} for v in views]}
