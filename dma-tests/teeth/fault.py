"""Planted faults: what a .fault file says, and how it is put into a copy of the sources.

A header, one `key: value` a line, then hunks. Lines that start with # before the first hunk are remarks.

    fault: what is wrong, in one line
    breaks: the invariant or claim that no longer holds
    catcher: unit PROGRAM TEST | qtest FILE::TEST | boot FILE::TEST | dpdk FILE::TEST
             | dpdk/host FILE::TEST

    file: path/of/a/source.c
    <<<<
    the exact text that stands there, once
    ====
    what stands there instead
    >>>>

A file may be named once for several hunks. Instead of `catcher:` a control has `control:`, which says who
runs it: it is built with --build, and never judged here.
"""
import re
from dataclasses import dataclass, field
from pathlib import Path

HUNK = re.compile(r"^<<<<\n(.*?)^====\n(.*?)^>>>>\n", re.M | re.S)
KEYS = ("fault", "breaks", "catcher", "control")
KINDS = {"unit": 2, "qtest": 1, "boot": 1, "dpdk": 1, "dpdk/host": 1}


class FaultError(Exception):
    """The file cannot be read, or what it wants to change is not there."""


@dataclass(frozen=True)
class Catcher:
    """The one test that must fail. PLACE is a program or a test file."""
    kind: str
    place: str
    test: str

    def __str__(self):
        return f"{self.kind} {self.place}{'::' if self.kind != 'unit' else ' '}{self.test}"


@dataclass
class Fault:
    name: str
    fault: str
    breaks: str
    catcher: Catcher | None
    control: str
    hunks: list = field(default_factory=list)  # (path, old, new)

    def change(self, read):
        """{path: changed text}; READ gives a path's text. FaultError if a hunk does not apply."""
        changed = {}
        for path, old, new in self.hunks:
            text = changed.get(path) or read(path)
            found = text.count(old)
            if found != 1:
                raise FaultError(f"{path}: text to replace stands there {found} times: {old.strip().splitlines()[0]!r}")
            changed[path] = text.replace(old, new)
        return changed

    def apply(self, tree):
        """Change the files below TREE; each is replaced, for it may share its inode with another copy."""
        def read(path):
            try:
                return (tree / path).read_text()
            except OSError as why:
                raise FaultError(f"{path}: {why.strerror}") from None

        for path, text in self.change(read).items():
            (tree / path).unlink()
            (tree / path).write_text(text)


def parse_catcher(text):
    kind, _, rest = text.partition(" ")
    words = rest.split() if kind == "unit" else rest.split("::")
    if kind not in KINDS or len(words) != 2:
        raise FaultError(f"not a catcher: {text!r}")
    return Catcher(kind, *words)


def parse_header(lines):
    header = {}
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        key, colon, value = line.partition(":")
        if key not in KEYS or not colon or not value.strip() or key in header:
            raise FaultError(f"not a line of the header: {line!r}")
        header[key] = value.strip()
    if "fault" not in header or "breaks" not in header or ("catcher" in header) == ("control" in header):
        raise FaultError("the header has fault, breaks, and either catcher or control")
    return header


def parse_hunks(text):
    """Text from the first `file:` line on."""
    hunks = []
    for part in re.split(r"^file: *", text, flags=re.M)[1:]:
        path, _, body = part.partition("\n")
        found = HUNK.findall(body)
        if not found or HUNK.sub("", body).strip():
            raise FaultError(f"{path}: hunks are <<<<, ====, >>>>, each on a line, and nothing else")
        for old, new in found:
            if not old.strip() or old == new:
                raise FaultError(f"{path}: a hunk that finds or changes nothing")
            hunks.append((path.strip(), old, new))
    if not hunks:
        raise FaultError("it changes nothing")
    return hunks


def load(path):
    path = Path(path)
    try:
        text = path.read_text()
        start = re.search(r"^file:", text, re.M)
        at = start.start() if start else len(text)
        header = parse_header(text[:at].splitlines())
        catcher = parse_catcher(header["catcher"]) if "catcher" in header else None
        return Fault(path.stem, header["fault"], header["breaks"], catcher, header.get("control", ""),
                     parse_hunks(text[at:]))
    except FaultError as why:
        raise FaultError(f"{path.name}: {why}") from None


def load_all(folder):
    return [load(path) for path in sorted(Path(folder).glob("*.fault"))]
