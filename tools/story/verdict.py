"""What came of the attacks: what was said, decoded; and the verdict, with what speaks for it."""
import json
import re
from collections import Counter

_ANSWER = re.compile(r"(read|write|message|own) (\S+?)(?: (0x[0-9a-f]+))? by=(\d+) (.*)", re.DOTALL)
MARKER = b"ROGUE-IN HERE!!!"  # dma-tests/guest/lib/waves.h
LATE = b"ROGUE-LATE DMA!!"
PAGE = 4096
ACCESS = {0: "access", 1: "read", 2: "write", 4: "execute"}


def answers(said):
    """The rogue's answers in what it SAID: verb, name, iova, by, leaked, idle, first, good."""
    found = []
    for record in said.split("CORDON-ROGUE ")[1:]:
        match = _ANSWER.match(record)
        if match:
            verb, name, iova, by, rest = match.groups()
            leaked = re.search(r"leaked=(\d+)", rest)
            first = re.search(r"first=([0-9a-f]*)", rest)
            found.append({"verb": verb, "name": name, "iova": int(iova, 0) if iova else None,
                          "by": int(by), "leaked": int(leaked[1]) if leaked else 0,
                          "idle": " idle" in rest, "good": rest.startswith("good"),
                          "first": bytes.fromhex(first[1][:len(first[1]) // 2 * 2]) if first
                          else b""})
    return found


def fields(said, verb):
    """The words of the last answer that begins with VERB: (plain ones, {name: value}), or None."""
    records = [r for r in said.split("CORDON-ROGUE ")[1:] if r.startswith(verb + " ")]
    if not records:
        return None
    words = records[-1].split(".")[0].split()[1:]
    return [w for w in words if "=" not in w], dict(w.split("=", 1) for w in words if "=" in w)


def fault_lines(events):
    """One line for each kind of refused access: device, cause, where, how often."""
    count = Counter()
    first = {}
    for e in events:
        key = (e["device_id"], e["device"], e["cause_name"], e["access"])
        count[key] += e["count"]
        first.setdefault(key, e)
    return [f"DMA DENIED  {device or 'device'} ({number})  {ACCESS.get(how, 'access')}  {cause}  "
            f"x{n}, first at {first[key]['iova']}{_nearest(first[key])}"
            for key, n in count.most_common() for number, device, cause, how in [key]]


def _nearest(e):
    if "nearest" not in e:
        return ""
    side = "starts" if e["nearest_after"] else "ended"
    where = "after" if e["nearest_after"] else "before"
    gap = int(e["nearest_gap"], 0)
    far = f"{gap >> 20:,} MiB" if gap >= 1 << 20 else f"{gap:,} bytes"
    return f"; nearest region {side} {far} {where}"


def recorded(answer, device_id, events):
    """True if one of the fault EVENTS tells of this attack: its device, and its page."""
    for e in events:
        first = int(e["iova"], 0)
        if int(e["device_id"], 0) == device_id and first // PAGE <= answer["iova"] // PAGE \
                <= (first + int(e["span"]) - 1) // PAGE:
            return True
    return False


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

    def as_dict(self):
        return {"verdict": self.word, "escapes": self.escapes, "troubles": self.troubles,
                "devices": self.devices, **self.facts}

    def write(self, path):
        with open(path, "w") as out:
            json.dump(self.as_dict(), out, indent=2)
            out.write("\n")
