"""Judges of a dump: the literal walker, and any command that a user names (docs/dump.md)."""
import json
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from ..judge import Walker
from .format import PAGE, Dump, save
from .views import View

TIMEOUT = 60.0
LINE_MAX = 256  # bytes of a verdict, more than enough


class OracleError(Exception):
    """An oracle that did not run, or did not answer as it has to. `command` is its command line."""

    def __init__(self, command: str, why: object) -> None:
        self.command, self.why = command, why
        super().__init__(f"oracle {command!r}: {why}")


@dataclass(frozen=True)
class Verdict:
    """Where a request leads, or the cause that stops it."""

    hpa: int | None = None
    cause: int = 0

    def __str__(self) -> str:
        return f"cause {self.cause}" if self.cause else f"{self.hpa:#x}"


def sample(views, devices):
    """Requests at the edges of all that each device reaches, in every kind of access."""
    requests = []
    for device in devices:
        edges = {0, (1 << 41) - PAGE}
        for view in views:
            if (view.iommu, view.device) == (device.iommu, device.id):
                for run in view.runs:
                    edges |= {run.gpa - 1, run.gpa, run.gpa + run.len // 2, run.gpa + run.len - 1,
                              run.gpa + run.len}
        requests += [{"iommu": device.iommu, "device": device.id, "iova": edge, "access": access}
                     for edge in sorted(edges) if 0 <= edge < 1 << 64 for access in "rwx"]
    return requests


def walker_verdicts(dump: Dump) -> list[Verdict]:
    """The literal walker's verdict on each request of the dump."""
    verdicts = []
    for request in dump.requests:
        walker = Walker(dump.read, dump.iommus[request["iommu"]].register)
        trail = walker.walk(request["device"], request["iova"], request["access"])
        verdicts.append(Verdict(trail.hpa, trail.cause))
    return verdicts


def ask(command, dump, timeout=TIMEOUT):
    """The verdicts of COMMAND (a command line) on each request of the dump."""
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        save(dump, file.name)
        most = 4096 + LINE_MAX * len(dump.requests)
        status, said, complained = _run(command, file.name, timeout, most)
    if status:
        raise OracleError(command, f"exit status {status}: "
                          + complained.decode(errors="replace").strip()[-400:])
    return _verdicts(command, said, len(dump.requests))


def _run(command, path, timeout, most):
    """Exit status, output and errors of COMMAND PATH. It and what it has started end with this call, and it
    may say MOST bytes: an oracle is a stranger."""
    try:
        words = shlex.split(command)
        if not words:
            raise ValueError("it names no program")
        process = subprocess.Popen([*words, path], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    except (OSError, ValueError) as why:
        raise OracleError(command, f"cannot be run: {why}") from None
    said = {process.stdout: bytearray(), process.stderr: bytearray()}
    try:
        with selectors.DefaultSelector() as waiting:
            for stream in said:
                waiting.register(stream, selectors.EVENT_READ)
            deadline = time.monotonic() + timeout
            while waiting.get_map():
                ready = waiting.select(max(0, deadline - time.monotonic()))
                if not ready:
                    raise OracleError(command, f"no answer within {timeout:.0f} s")
                for key, _ in ready:
                    part = os.read(key.fd, 1 << 16)
                    said[key.fileobj] += part
                    if not part:
                        waiting.unregister(key.fileobj)
                    if len(said[process.stdout]) > most:
                        raise OracleError(command, f"more than {most} bytes for an answer")
                    del said[process.stderr][:-4096]
        status = process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise OracleError(command, f"no answer within {timeout:.0f} s") from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in said:
            stream.close()
    return status, bytes(said[process.stdout]), bytes(said[process.stderr])


def _verdicts(command, said, count):
    found = {}
    for number, line in enumerate(said.splitlines(), 1):
        try:
            item = json.loads(line)
            request, cause = item["request"], item.get("cause", 0)
            verdict = Verdict(None if cause else int(item["hpa"], 0), cause)
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as why:
            raise OracleError(command, f"line {number} is no verdict ({type(why).__name__}): {line!r:.60}") from None
        if type(request) is not int or not 0 <= request < count or request in found or type(cause) is not int:
            raise OracleError(command, f"line {number}: request {request!r} is none of the {count} that are "
                                       f"left, or cause {cause!r} is no number")
        if not cause and not 0 <= verdict.hpa < 1 << 64:
            raise OracleError(command, f"line {number}: {verdict.hpa:#x} is no address of 64 bits")
        found[request] = verdict
    if len(found) < count:
        missing = next(n for n in range(count) if n not in found)
        raise OracleError(command, f"{count - len(found)} of {count} verdicts are missing, request {missing} first")
    return [found[number] for number in range(count)]


def differences(dump, verdicts, others):
    """(request, verdict, other) wherever two judges do not say the same."""
    return [(request, ours, theirs) for request, ours, theirs in zip(dump.requests, verdicts, others)
            if ours != theirs]


def with_requests(dump: Dump, views: list[View]) -> Dump:
    """The dump with requests: its own, or sampled ones."""
    return dump if dump.requests else replace(dump, requests=sample(views, dump.devices))
