"""Steps: calls that are told as a line of a program, and after which every judge is heard."""
import functools


class Disagreement(AssertionError):
    """Two judges do not say the same, or memory is not what it has to be. `world` is where; str() ends
    with the program that leads there."""

    def __init__(self, text, world):
        self.text, self.world = text, world
        super().__init__(f"{text}\n---- the program that leads here:\n{world.program}")


def step(method):
    """METHOD, which takes nothing but plain values, is a step of its world."""
    @functools.wraps(method)
    def told(self, *args, **named):
        shown = [repr(value) for value in args] + [f"{name}={value!r}" for name, value in named.items()]
        self.note(f"    w.{method.__name__}({', '.join(shown)})")
        method(self, *args, **named)
        self.steps += 1
        self.judge()
    return told
