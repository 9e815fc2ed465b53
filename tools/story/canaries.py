"""Canaries for the controls: bytes planted from outside in memory of each class, to be read and
overwritten by a device that nothing holds back."""
import random
import re
from dataclasses import dataclass

PAGE = 4096
LENGTH = 64
FRAMES_LOOKED_AT = 4096


@dataclass(frozen=True)
class Canary:
    name: str
    hpa: int
    data: bytes


def make(number):
    """LENGTH bytes, none of whose 64-bit words is a valid page-table entry."""
    data = bytearray(random.Random(number).randbytes(LENGTH))
    for at in range(0, LENGTH, 8):
        data[at] = data[at] & 0xfe | 2
    return bytes(data)


def zeros(data):
    """Where LENGTH zero bytes stand in DATA, in the middle of the longest run; None: nowhere."""
    runs = [m.span() for m in re.finditer(rb"\0{%d,}" % (2 * LENGTH), data)]
    if not runs:
        return None
    start, end = max(runs, key=lambda span: span[1] - span[0])
    return (start + end - LENGTH) // 2 // LENGTH * LENGTH if end - start > 2 * LENGTH \
        else -(-start // LENGTH) * LENGTH


def in_range(ram, base, hpa, length):
    """The address of zeros in [HPA, HPA + LENGTH), or None."""
    at = zeros(bytes(ram[hpa - base:hpa - base + length]))
    return None if at is None else hpa + at


def in_frames(ram, base, runs):
    """The address of zeros in one of the frames of RUNS, the middle ones first, or None."""
    frames = [(run.first + n) * PAGE for run in runs for n in range(run.pages)][:FRAMES_LOOKED_AT]
    for frame in frames[len(frames) // 2:] + frames[:len(frames) // 2]:
        found = in_range(ram, base, frame, PAGE)
        if found is not None:
            return found
    return None


def plant(ram, base, runs, places, red):
    """Plant one canary in each class: (canaries, names of classes without room). RUNS are frames by
    owner, PLACES what the hypervisor says stands where, RED the number of the other guest."""
    frames = {"red's-RAM": [r for r in runs if r.domain == red and r.state == "owned"],
              "free-frame": [r for r in runs if r.state == "free"],
              "page-table": [r for r in runs if r.state == "table"]}
    found = {name: in_frames(ram, base, some) for name, some in frames.items()}
    wanted = {"hypervisor": ("hypervisor code", "hypervisor constants"), "firmware": ("firmware",),
              "bundle": ("bundle",)}
    for name, titles in wanted.items():
        some = (in_range(ram, base, int(p["hpa"], 0), int(p["len"], 0)) for p in places
                if p["name"] in titles)
        found[name] = next((hpa for hpa in some if hpa is not None), None)
    planted = [Canary(name, hpa, make(number)) for number, (name, hpa) in enumerate(found.items())
               if hpa is not None]
    for canary in planted:
        ram[canary.hpa - base:canary.hpa - base + LENGTH] = canary.data
    return planted, [name for name, hpa in found.items() if hpa is None]


def landed(canary, ram, base, answer, marker):
    """(True if the read of a canary brought it back, True if the write left the marker)."""
    now = bytes(ram[canary.hpa - base:canary.hpa - base + LENGTH])
    return (answer is not None and answer["first"] == canary.data[:len(answer["first"])]
            and len(answer["first"]) > 0, now == marker * (LENGTH // len(marker)))
