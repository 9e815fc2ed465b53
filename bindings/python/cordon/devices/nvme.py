"""An NVMe controller, driven from outside: queues and data in a guest's memory, PRP lists for
scatter-gather [NVM Express 1.4: 3.1 registers, 4.2 commands, 4.3 PRP]."""
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, SupportsInt

from .memory import Memory

if TYPE_CHECKING:
    from ..qemu.pci import Function

CAP, CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x00, 0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000
CC_ENABLE = 1 | 6 << 16 | 4 << 20  # 64-byte submission, 16-byte completion entries
ADMIN_CREATE_SQ, ADMIN_CREATE_CQ, ADMIN_IDENTIFY = 0x01, 0x05, 0x06
IO_WRITE, IO_READ = 0x01, 0x02
CLASS = 0x010802
ENTRIES, PAGE, BLOCK = 16, 0x1000, 512
QUEUE_BYTES = 4 * PAGE  # admin and I/O queues, one page each


class NvmeTimeout(Exception):
    """The controller did not answer in time."""


class _Queue:
    """A submission and a completion queue in the guest's memory."""

    def __init__(self, number: int, submission: int, completion: int) -> None:
        self.number, self.submission, self.completion = number, submission, completion
        self.tail = self.head = 0
        self.phase = 1


class NvmeDriver:
    """`memory` reads and writes the guest's memory by GPA; the queues take QUEUE_BYTES at `queues`.

    Statuses are returned, not judged: a controller answers success for DMA that was refused."""

    def __init__(self, function: "Function", memory: Memory, queues: SupportsInt,
                 timeout: float = 10.0) -> None:
        function.must_be("nvme", class_code=CLASS)
        self.function, self.memory, self.queues, self._timeout = function, memory, int(queues), timeout
        self._bar = function.bars[0]
        self._next = 0
        self._answers: dict[tuple[int, int], int] = {}

    # ---- life -----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Reset, enable, and make one pair of I/O queues."""
        bar, base = self._bar, self.queues
        self.disable()
        self.memory.write(base, bytes(QUEUE_BYTES))
        self.admin, self.io = _Queue(0, base, base + PAGE), _Queue(1, base + 2 * PAGE, base + 3 * PAGE)
        bar.write(AQA, (ENTRIES - 1) << 16 | ENTRIES - 1)
        bar.write(ASQ, base, 8)
        bar.write(ACQ, base + PAGE, 8)
        bar.write(CC, CC_ENABLE)
        self._wait_for(lambda: bar.read(CSTS) & 3, "to become ready")
        size = (ENTRIES - 1) << 16 | 1
        self.run(self.admin, ADMIN_CREATE_CQ, prp1=self.io.completion, cdw=(size, 1))
        self.run(self.admin, ADMIN_CREATE_SQ, prp1=self.io.submission, cdw=(size, 1 << 16 | 1))
        return self

    def disable(self) -> None:
        self._bar.write(CC, 0)
        self._wait_for(lambda: not self._bar.read(CSTS) & 1, "to stop")

    def _wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > deadline:
                raise NvmeTimeout(f"{self.function!r} took more than {self._timeout} s {what}")

    # ---- commands -------------------------------------------------------------------------------

    def submit(self, queue: _Queue, opcode: int, *, nsid: int = 0, prp1: SupportsInt = 0,
               prp2: SupportsInt = 0, cdw: Sequence[int] = ()) -> int:
        """Put a command on a queue and ring; its identifier."""
        self._next = self._next % 0xfffe + 1
        words = (tuple(cdw) + (0,) * 6)[:6]
        entry = struct.pack("<BBHI16xQQ6I", opcode, 0, self._next, nsid, int(prp1), int(prp2), *words)
        self.memory.write(queue.submission + 64 * queue.tail, entry)
        queue.tail = (queue.tail + 1) % ENTRIES
        self._bar.write(DOORBELLS + 8 * queue.number, queue.tail)
        return self._next

    def poll(self, queue: _Queue) -> None:
        """Take the completions that have come in."""
        while True:
            entry = self.memory.read(queue.completion + 16 * queue.head, 16)
            cid, status = struct.unpack("<12xHH", entry)
            if status & 1 != queue.phase:
                return
            self._answers[queue.number, cid] = status >> 1
            queue.head = (queue.head + 1) % ENTRIES
            queue.phase ^= queue.head == 0
            self._bar.write(DOORBELLS + 8 * queue.number + 4, queue.head)

    def done(self, queue: _Queue, cid: int) -> bool:
        self._bar.read(CSTS)
        self.poll(queue)
        return (queue.number, cid) in self._answers

    def wait(self, queue: _Queue, cid: int) -> int:
        """The status of a command, once it has completed."""
        self._wait_for(lambda: self.done(queue, cid), f"for command {cid}")
        return self._answers.pop((queue.number, cid))

    def run(self, queue: _Queue, opcode: int, **fields: Any) -> int:
        return self.wait(queue, self.submit(queue, opcode, **fields))

    def identify(self, gpa: SupportsInt) -> int:
        """Write the controller's 4 KiB of identity to GPA."""
        return self.run(self.admin, ADMIN_IDENTIFY, prp1=gpa, cdw=(1,))

    # ---- data -----------------------------------------------------------------------------------

    def prps(self, pages: Sequence[SupportsInt], list_page: SupportsInt | None = None) -> tuple[int, int]:
        """PRP1 and PRP2 for a transfer over PAGES (GPAs of whole pages, in order)."""
        first, *rest = map(int, pages)
        if len(rest) <= 1:
            return first, rest[0] if rest else 0
        if list_page is None or len(rest) > PAGE // 8:
            raise ValueError(f"{len(pages)} pages need a PRP list of one page")
        self.memory.write(list_page, struct.pack(f"<{len(rest)}Q", *rest))
        return first, int(list_page)

    def submit_io(self, opcode: int, lba: int, pages: Sequence[SupportsInt],
                  list_page: SupportsInt | None = None) -> int:
        prp1, prp2 = self.prps(pages, list_page)
        blocks = len(pages) * PAGE // BLOCK
        return self.submit(self.io, opcode, nsid=1, prp1=prp1, prp2=prp2,
                           cdw=(lba & 0xffffffff, lba >> 32, blocks - 1))

    def read(self, lba: int, pages: Sequence[SupportsInt], list_page: SupportsInt | None = None) -> int:
        """Blocks from LBA on into PAGES; the status."""
        return self.wait(self.io, self.submit_io(IO_READ, lba, pages, list_page))

    def write(self, lba: int, pages: Sequence[SupportsInt], list_page: SupportsInt | None = None) -> int:
        """PAGES to blocks from LBA on; the status."""
        return self.wait(self.io, self.submit_io(IO_WRITE, lba, pages, list_page))
