"""What came of the attacks: counted, decoded, and put in a table."""
import json
import re
from collections import Counter

_ANSWER = re.compile(r"CORDON-ROGUE (read|write|message|own) (\S+)(?: (0x[0-9a-f]+))?(.*)")
MARKER = b"ROGUE-DMA-MARKER"


def answers(lines):
    """The rogue's answers in console LINES: dicts of verb, name, iova, leaked, idle, good."""
    found = []
    for line in lines:
        match = _ANSWER.search(line)
        if match:
            verb, name, iova, rest = match.groups()
            leaked = re.search(r"leaked=(\d+)", rest)
            found.append({"verb": verb, "name": name, "iova": int(iova, 0) if iova else None,
                          "leaked": int(leaked[1]) if leaked else 0, "idle": " idle" in rest,
                          "good": rest.strip() == "good"})
    return found


def fault_lines(events):
    """One line for each kind of refused access: device, cause, where, how often."""
    count = Counter()
    first = {}
    for e in events:
        key = (e["device_id"], e["device"], e["cause_name"], e["access"])
        count[key] += e["count"]
        first.setdefault(key, e)
    access = {0: "access", 1: "read", 2: "write", 4: "execute"}
    return [f"DMA DENIED  {device or 'device'} ({number})  {access.get(how, 'access')}  {cause}  "
            f"x{n}, first at {first[key]['iova']}{_nearest(first[key])}"
            for key, n in count.most_common() for number, device, cause, how in [key]]


def _nearest(e):
    if "nearest" not in e:
        return ""
    side = "starts" if e["nearest_after"] else "ended"
    where = "after" if e["nearest_after"] else "before"
    return f"; nearest region {side} {int(e['nearest_gap'], 0)} bytes {where}"


class Verdict:
    """Collects what was seen; ESCAPED if anything at all speaks for it."""

    def __init__(self):
        self.escapes = []
        self.troubles = []  # the story could not be told to its end
        self.facts = {}
        self.devices = []

    def escape(self, text):
        self.escapes.append(text)

    def trouble(self, text):
        self.troubles.append(text)

    @property
    def word(self):
        if self.escapes:
            return "ESCAPED"
        return "UNDECIDED" if self.troubles else "CONFINED"

    def write(self, path):
        with open(path, "w") as out:
            json.dump({"verdict": self.word, "escapes": self.escapes, "troubles": self.troubles,
                       "devices": self.devices, **self.facts}, out, indent=2)
            out.write("\n")
