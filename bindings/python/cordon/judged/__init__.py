"""Worlds that every judge looks at after each step, and a Hypothesis state machine over them.

World is a platform with a record of its own; IommuMachine (which needs python3-hypothesis) finds
programs of steps, and the shortest that fails: `python3 -m cordon.judged`, `make check-judged`."""
from .steps import Disagreement
from .world import VARIANTS, World


def __getattr__(name):
    if name in ("IommuMachine", "machine_of"):
        from . import machine
        return getattr(machine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["VARIANTS", "Disagreement", "World"]
