"""The story's guests on this terminal: Ctrl-] goes on to the next of them, and then to the
hypervisor itself, which takes the commands of hyp/manage/manage.h; Ctrl-\\ ends it all."""
import json
import os
import select
import sys
import termios
import tty

import scene
import stage

NEXT, END = 0x1d, 0x1c
HELP = ("Ctrl-] goes on to the next guest, then to the hypervisor; Ctrl-\\ ends. The console of a "
        "guest shows "
        "what everybody says; the hypervisor takes: owners, places, audit, faults, exits, "
        "type VM TEXT, pause VM, resume VM")


class Live(stage.Stage):
    """Guests with shells, and a person."""

    def open(self, tap):
        self.start(scene.TREE / "tools/story/story.toml", {"red": "", "blue": ""},
                   [*scene.disks(self.folder), *scene.edus()])
        for line in self.console.lines:
            tap(line.encode() + b"\r\n")
        self.console.tap = tap

    def run(self):
        """Until the end key, or the end of the machine or of the input."""
        out = sys.stdout.buffer

        def tap(data):
            out.write(data)
            out.flush()
        self.open(tap)
        terminal = sys.stdin.isatty()
        before = termios.tcgetattr(sys.stdin) if terminal else None
        try:
            if terminal:
                tty.setraw(sys.stdin)
            tap(HELP.encode() + b"\r\n")
            self._copy(tap)
        finally:
            if terminal:
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

    def _copy(self, tap):
        guests, focus, line, seen = list(self.domains), 0, b"", len(self.machine.channel.events)
        while not self.console.closed:
            seen = self._tell_events(tap, seen)
            if not select.select([sys.stdin], [], [], 0.2)[0]:
                continue
            for byte in os.read(sys.stdin.fileno(), 256) or bytes([END]):
                if byte == END:
                    return
                if byte == NEXT:
                    focus = (focus + 1) % (len(guests) + 1)
                    if focus == len(guests):
                        tap(b"\r\n[you] the hypervisor listens\r\n")
                    else:
                        self.console.type(chr(NEXT))
                elif focus < len(guests):
                    self.console.type(chr(byte))
                else:
                    line = self._edit(tap, line, byte)

    def _edit(self, tap, line, byte):
        """One more byte of a command to the hypervisor; what it has become."""
        if byte in b"\r\n":
            tap(b"\r\n")
            if line:
                self.machine.channel.command(line.decode(errors="replace"))
            return b""
        if byte in b"\x7f\b":
            tap(b"\b \b" if line else b"")
            return line[:-1]
        tap(bytes([byte]))
        return line + bytes([byte])

    def _tell_events(self, tap, seen):
        events = self.machine.channel.events[seen:]
        for event in events:
            if event.get("event") != "fault":  # those are on the console already, in words
                tap(b"[cordon] " + json.dumps(event).encode() + b"\r\n")
        return seen + len(events)
