#!/usr/bin/python3
"""Stands where QEMU with the hypervisor would: its bundle (-initrd) is a play in JSON.

    {"start": [STEP, ...], "answers": {"COMMAND": [[STEP, ...] each time it is given], ...}}

A STEP is {"say": LINE}, {"event": {...}}, {"lose": FRAMES}, {"noise": TEXT}, {"rest": SECONDS},
{"hang_up": SECONDS} (of the channel, and a rest) or {"end": STATUS} (or by the signal -STATUS, or with words). A command that the play does not know, or no
more, is answered as a hypervisor with nothing to tell would.
"""
import json
import os
import re
import select
import socket
import struct
import sys

HEADER = struct.Struct("<4sBBHI")
PLAIN = {"exits": "exits", "faults": "faults", "pause": "paused", "resume": "resumed", "type": "typed"}


def end_of(name):
    """The socket that the command line gives to a chardev."""
    found = next(re.search(r",fd=(\d+)", word)[1] for word in sys.argv if f"id={name}," in word)
    return socket.socket(fileno=int(found))


class Play:
    def __init__(self, play):
        self.console, self.channel, self.qmp = map(end_of, ("console", "channel", "qmp"))
        self.answers, self.number = play.get("answers", {}), 0
        self.qmp.sendall(b'{"QMP": {}}\n')
        self.answer_qmp()
        self.do(play.get("start", []))

    def do(self, steps):
        for step in steps:
            (verb, what), = step.items()
            getattr(self, verb)(what)

    def say(self, line):
        self.console.sendall(line.encode() + b"\n")

    def event(self, content):
        data = json.dumps(content).encode()
        self.channel.sendall(HEADER.pack(b"CRDN", ord("J"), 0, self.number, len(data)) + data)
        self.number += 1

    def lose(self, frames):
        self.number += frames

    def noise(self, text):
        self.channel.sendall(text.encode())

    def rest(self, seconds):
        select.select([], [], [], seconds)

    def hang_up(self, seconds):
        self.channel.close()
        self.rest(seconds)

    def end(self, status):
        self.console.close()
        self.channel.close()
        if isinstance(status, int) and status < 0:
            os.kill(os.getpid(), -status)
        sys.exit(status)

    def answer(self, command):
        verb, name, text = (command.split(" ", 2) + ["", ""])[:3]
        if self.answers.get(command):
            self.do(self.answers[command].pop(0))
        elif verb == "audit":
            self.event({"event": "audit", "clean": True})
        else:
            self.event({"event": PLAIN[verb], "vm": name, "taken": len(text) + 1})

    def answer_qmp(self):
        for _ in self.read(self.qmp).splitlines():
            self.qmp.sendall(b'{"return": ""}\n')

    def run(self):
        while True:
            for ready in select.select([self.channel, self.qmp], [], [])[0]:
                if ready is self.qmp:
                    self.answer_qmp()
                    continue
                data = self.read(ready)
                while data:
                    length = HEADER.unpack_from(data)[4]
                    self.answer(data[HEADER.size:HEADER.size + length].decode())
                    data = data[HEADER.size + length:]

    @staticmethod
    def read(sock):
        if not (data := sock.recv(65536)):
            sys.exit(0)
        return data


if __name__ == "__main__":
    with open(sys.argv[sys.argv.index("-initrd") + 1]) as file:
        Play(json.load(file)).run()
