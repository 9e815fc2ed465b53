"""Judges that share no code with the library: slow, literal, written from the specification."""
from .commands import judge_commands
from .dc import Unsupported
from .hart import HartWalker
from .tables import Directory, Judgement, Leaf
from .trail import Step, Trail
from .walker import Walker

__all__ = ["Directory", "HartWalker", "Judgement", "Leaf", "Step", "Trail", "Unsupported", "Walker", "judge_commands"]
