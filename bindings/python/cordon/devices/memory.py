"""What a driver needs of its guest: memory by GPA. A cordon.Guest has it."""
from typing import Protocol, SupportsInt

from ..types import Bytes


class Memory(Protocol):
    """Reads and writes at guest addresses."""

    def read(self, gpa: SupportsInt, length: int) -> bytes: ...

    def write(self, gpa: SupportsInt, data: Bytes) -> None: ...
