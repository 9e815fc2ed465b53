"""What a rogue device tries: bus addresses of everything that it should not reach.

The device's addresses are guest physical ones. An attack names the *host* address of a target as
if the device could reach it raw, for that is what a missing or wrong second stage would let
through; or it names an address at an edge of what the device may reach.
"""
from dataclasses import dataclass

PAGE = 4096
SAMPLES = 6  # of each class of frames with many runs


@dataclass(frozen=True)
class Attack:
    """One order for dma-tests/guest/rogue.c."""
    verb: str   # read, write, message, own
    name: str   # what it aims at, without blanks
    iova: int
    length: int  # bytes; a message's data

    def line(self):
        return f"{self.verb} {self.name} {self.iova:x} {self.length:x}"


def both(name, iova, length=64):
    """Read it and write it."""
    return [Attack("read", name, iova, length), Attack("write", name, iova, length)]


def own(name, count):
    """Honest DMA by each of COUNT devices."""
    return [Attack("own", name, 0, 0)] * count


def ordered(attacks):
    """Kinds together, as the rogue carries them out fastest; each attack once."""
    kinds = ("read", "write", "message")
    return sorted(dict.fromkeys(attacks), key=lambda a: (kinds.index(a.verb), a.length > 64))


def spread(items, count=SAMPLES):
    """At most COUNT of ITEMS: the first, the last, and evenly between."""
    items = list(items)
    if len(items) <= count:
        return items
    if count == 1:
        return items[:1]
    return [items[i * (len(items) - 1) // (count - 1)] for i in range(count)]


def edges(ram_base, ram_len):
    """One byte and one page past the guest's own RAM, and below its start."""
    end = ram_base + ram_len
    found = [*both("one-past-own-RAM", end, 1), *both("page-past-own-RAM", end, PAGE)]
    if ram_base:
        found += both("below-own-RAM", ram_base - 64)
    return found


def frames(runs, name, wanted, samples=SAMPLES):
    """First and last bytes of frames of one class, spread over memory."""
    chosen = spread((r for r in runs if wanted(r)), samples)
    return [a for run in chosen for a in
            (*both(name, run.first * PAGE), *both(name, (run.first + run.pages) * PAGE - 64))]


def places(listed):
    """The first and the last 64 bytes of what the hypervisor says stands in host memory."""
    found = []
    for place in listed:
        name = place["name"].replace(" ", "-")
        hpa, length = int(place["hpa"], 0), int(place["len"], 0)
        found += both(name, hpa)
        if length > PAGE:
            found += both(name, (hpa + length - 64) & ~7)
    return found


def levels():
    """At and above the top of each table level, and of the address itself."""
    found = []
    for bits in (39, 41, 48, 50, 56, 57, 59, 63):
        found += [*both(f"2^{bits}", 1 << bits), Attack("read", f"below-2^{bits}", (1 << bits) - 64,
                                                        64)]
    return found + both("top-of-all", (1 << 64) - 64)


def registers(base, listed):
    """Reads and writes of device registers: LISTED has (name, offset, bytes)."""
    return [a for name, offset, length in listed for a in both(f"register-{name}", base + offset,
                                                               length)]


def messages(files, own_file, own_count):
    """MSIs where no message of this guest may go: host files, and numbers it has no file for."""
    found = [Attack("message", "interrupt-file", hpa, identity) for hpa in files
             for identity in (1, 2)]
    found += [Attack("message", "own-file-number-too-high", own_file + n * PAGE, 1)
              for n in (own_count, own_count + 1, 255)]
    return found
