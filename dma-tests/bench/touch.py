"""What a first touch costs in the library (bench_touch.c), in instructions: with zeroing, as this machine does it,
and without. What a guest's fault costs in all, exit and entry included, is the machine's to tell."""
import callgrind
from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_touch"
TOUCHES, HUGE_TOUCHES = 512, 16
CALLS = {"in-a-row": TOUCHES - 1, "again": TOUCHES - 1, "anywhere": TOUCHES, "populate": TOUCHES - 1,
         "discard": TOUCHES, "promised": TOUCHES - 1, "huge": HUGE_TOUCHES, "zero": TOUCHES}
WHOLE, LIBRARY = 1_000, 350  # of a fault, and what the library may take of it beside zeroing, pages in a row
KVM = 6_155                  # a whole fault, on the emulated hart
MEANING = {"in-a-row": "page after page, tables there", "anywhere": "pages anywhere in 1 GiB, tables there",
           "promised": "page after page, memory promised"}


def run(env):
    env.say("touch: first touches, under callgrind")
    each = {name: count / CALLS[name] for name, count in callgrind.dumps(PROGRAM, []).items()}
    zero = each["zero"]
    more = {"each": each}
    figures = []
    for name, what in MEANING.items():
        figures.append(Figure("touch", name, "instructions", each[name], KVM, "KVM's whole fault", WHOLE, of="ours",
                              note=f"{what}; zeroing is {zero:.0f} of it", more=more))
        figures.append(Figure("touch", f"{name}-unzeroed", "instructions", each[name] - zero, zero,
                              "zeroing a page here", None if name == "anywhere" else LIBRARY, of="ours",
                              more=more))
    figures.append(Figure("touch", "huge", "instructions", each["huge"], 512 * zero, "zeroing 512 pages",
                          note="a fill of 2 MiB", more=more))
    figures += [Figure("touch", name, "instructions a page", each[name], each["in-a-row"], "a touch", more=more)
                for name in ("again", "populate", "discard")]
    return figures
