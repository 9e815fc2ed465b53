"""What is shown at the end, and what is written."""
import json
import os
import tempfile

from rich.table import Table

COLUMNS = (("device", "left"), ("owner", "left"), ("bytes moved", "right"), ("attempts", "right"),
           ("refused", "right"), ("faults recorded", "right"))
COLOURS = {"CONFINED": "green", "SEEN": "green", "UNDECIDED": "yellow"}


def _table(devices):
    table = Table(title="Devices")
    for name, side in COLUMNS:
        table.add_column(name, justify=side)
    for row in devices:
        values = list(row.values())[:len(COLUMNS)]
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in values),
                      end_section=row is devices[-2])
    return table


def _sentences(facts):
    """What the tables do not say, a line each."""
    if "messages" in facts:
        m = facts["messages"]
        yield (f"{m['forged']} forged messages: {m['recorded']} with a fault record, "
               f"{m['counted_only']} only "
               "counted; red went on working on its own interrupt files")
    if "judge" in facts:
        j, d = facts["judge"], facts["device_state"]
        yield (f"hashes: {j['frames_hashed']:,} frames, {j['frames_changed']} changed; "
               f"{j['frames_kept_out']:,} that "
               f"change by themselves: the rogue's marker in {j['markers_found']}; "
               f"{d['registers_compared']} device "
               f"registers: {d['registers_changed']} changed")
    for given in facts.get("given_back", []):
        yield (f"a page given back {given['when']}: {given['dma_on_its_way']} transfers on their "
               "way, "
               f"{given['landed']} landed; its frame is {given['frame_now']}")
    for vm, exits in facts.get("exits", {}).items():
        yield f"{vm} left for the hypervisor {sum(exits.values()):,} times: " + ", ".join(
            f"{name} {count:,}" for name, count in exits.items())


def show_story(out, verdict):
    if verdict.devices:
        out.print(_table(verdict.devices))
        last = verdict.devices[-1]
        out.print(f"faults lost: {last['fault_records_lost']:,} records found no room and were "
                  f"counted only, {last['fault_records_left_out']:,} left out of the events; the "
                  f"queue overflowed {last['overflows']:,} times", highlight=False, soft_wrap=True)
    for line in verdict.facts.get("faults", []):
        out.print("  " + line, highlight=False, soft_wrap=True, markup=False)
    for line in _sentences(verdict.facts):
        out.print(line, highlight=False, soft_wrap=True, markup=False)
    for text in verdict.escapes:
        out.print(f"[red]escape:[/] {text}", highlight=False, soft_wrap=True)
    _end(out, verdict.word, verdict.troubles)


def show_control(out, result):
    for text in result["landed"]:
        out.print(f"[green]landed:[/] {text}", highlight=False, soft_wrap=True)
    for text in result["missed"]:
        out.print(f"[red]missed:[/] {text}", highlight=False, soft_wrap=True)
    word = result["verdict"]
    _end(out, f"CONTROL {result['control']}: " + ("the check SEES an escape" if word == "SEEN"
                                                  else "FAILED"),
         result["troubles"], COLOURS.get(word, "red"))


def _end(out, word, troubles, colour=None):
    for text in troubles:
        out.print("[yellow]trouble:[/]", highlight=False, end=" ")
        out.print(text, highlight=False, markup=False, soft_wrap=True)
    out.print(f"[bold {colour or COLOURS.get(word, 'red')}]{word}[/]", highlight=False)


# ---- JSON ---------------------------------------------------------------------------------------


def try_json(path):
    """OSError if PATH could not be written later; nothing is left there."""
    if path.exists():
        path.open("a").close()
    else:
        try:
            tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name).close()
        except OSError as why:
            why.filename = path
            raise


def write_json(path, result):
    """RESULT in a file that appears whole or not at all; a pipe or terminal just gets it."""
    text = json.dumps(result, indent=2) + "\n"
    if path.exists() and not path.is_file():
        path.write_text(text)
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
