"""A QEMU process with qtest and QMP sockets, whose RAM and disks are files in memory that we share."""
import ctypes
import mmap
import os
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from .qmp import Qmp, QmpError
from .qtest import QTest, pair
from ..types import size_pages

BINARY = os.environ.get("CORDON_QEMU") or "qemu-system-riscv64"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class QemuError(Exception):
    """QEMU is missing, refused its command line, or died. Its own words are in the text."""


class SharedFile:
    """A file in memory that QEMU opens by name and we map. Gone with the last of both."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size_pages(size, name)
        self.fd = os.memfd_create(name)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)

    @property
    def path(self) -> str:
        """The name that a child which inherited the descriptor opens it by."""
        return f"/proc/self/fd/{self.fd}"

    def close(self) -> None:
        """Our descriptor; the mapping goes when nothing looks into it any more."""
        os.close(self.fd)


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_starters: list[ThreadPoolExecutor] = []
os.register_at_fork(after_in_child=_starters.clear)  # a child has none of our threads


def start(command: list[str], ends: Sequence[socket.socket], files: Iterable[SharedFile],
          said: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start COMMAND, which ends when we do. It gets ENDS of sockets, which are its own then, and FILES; what it
    prints goes to SAID. QemuError if it cannot be."""
    inherited = [s.fileno() for s in ends] + [f.fd for f in files]
    try:
        return _forked(command, stdout=said, stderr=said, pass_fds=inherited)
    except OSError as why:
        raise QemuError(f"cannot start {command[0]}: {why}") from None
    finally:
        for end in ends:
            end.close()


def _forked(command: list[str], **settings: Any) -> "subprocess.Popen[bytes]":
    """The kernel takes the thread that forks for us, so a thread that may end before has another one do it, which
    stays."""
    def fork() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent, **settings)
    if threading.current_thread() is threading.main_thread():
        return fork()
    if not _starters:
        _starters.append(ThreadPoolExecutor(1))
    return _starters[0].submit(fork).result()


def _forgotten(process: "subprocess.Popen[bytes]") -> None:
    """Nobody has closed what PROCESS was for, and nobody can any more."""
    if process.poll() is None:
        warnings.warn(f"QEMU {process.pid} was left running: close() it, or use `with`", ResourceWarning,
                      stacklevel=2)
        process.kill()
        process.wait()


class QemuProcess:
    """Starts QEMU stopped (-S) with ARGUMENTS; `files` are the SharedFile objects they name."""

    def __init__(self, arguments: Iterable[str], files: Iterable[SharedFile] = (), timeout: float = 20.0,
                 binary: str = BINARY) -> None:
        self._stderr = tempfile.TemporaryFile()
        self._ours, theirs = zip(*(pair() for _ in range(2)))
        self.command = [binary, "-S", "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot",
                        "-qtest-log", "none",
                        "-chardev", f"socket,id=qtest,fd={theirs[0].fileno()}", "-qtest", "chardev:qtest",
                        "-chardev", f"socket,id=qmp,fd={theirs[1].fileno()}",
                        "-mon", "chardev=qmp,mode=control", *arguments]
        self._process = start(self.command, theirs, files, self._stderr)
        weakref.finalize(self, _forgotten, self._process)
        self.qtest = QTest(self._ours[0], timeout)
        self._connect(timeout)

    def _connect(self, timeout: float) -> None:
        try:
            self.qmp = Qmp(self._ours[1], timeout)
        except (OSError, QmpError, ValueError) as why:
            self.kill()
            said = self.stderr()
            old = ("\nQEMU 10.0 or newer has the RISC-V IOMMU: is this one older?"
                   if "iommu" in said and ("not found" in said or "not a valid device" in said) else "")
            raise QemuError(f"{self.command[0]} did not start ({why}):\n{said}{old}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def stderr(self) -> str:
        """What QEMU has printed so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def kill(self) -> None:
        """End the process, whatever it is doing, and wait for it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for sock in self._ours:
            sock.close()

    def close(self) -> None:
        """Ask QEMU to quit; kill it if it does not."""
        if self._process.poll() is None:
            try:
                self.qmp.command("quit")
                self._process.wait(5)
            except (OSError, QmpError, ValueError, subprocess.TimeoutExpired):
                pass
        self.kill()
