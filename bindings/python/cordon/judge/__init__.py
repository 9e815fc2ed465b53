"""Judges that share no code with the library: slow, literal, written from the specification."""
from .commands import judge_commands
from .tables import Directory, Judgement, Leaf

__all__ = ["Directory", "Judgement", "Leaf", "judge_commands"]
