"""Judges that share no code with the library: slow, literal, written from the specification."""
from .commands import judge_commands
from .dc import Unsupported
from .hart import HartRules, HartWalker
from .tables import Directory, Judgement, Leaf
from .trail import Step, Trail
from .walker import Walker

__all__ = ["Directory", "HartRules", "HartWalker", "Judgement", "Leaf", "Step", "Trail", "Unsupported", "Walker",
           "judge_commands"]
