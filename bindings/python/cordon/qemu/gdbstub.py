"""Reads control and status registers of a QEMU through its GDB stub; the machine stands still meanwhile."""
import re
import socket
import time

CSR_XML = "riscv-csr.xml"
TIMEOUT = 20.0


class GdbStub:
    """QEMU gets .arguments; .read() may be called as often as one likes, one at a time. After it the machine
    goes on, even one that stood still before, unless `stay`."""

    def __init__(self, folder, stay=False):
        self._stay = stay
        self._path = f"{folder}/gdb.sock"
        self.device = f"unix:{self._path},server=on,wait=off"
        self.arguments = ("-gdb", self.device)
        self._numbers = {}

    def read(self, *names, hart=0):
        """The values of control and status registers of a hart, by name."""
        deadline = time.monotonic() + TIMEOUT
        while True:  # QEMU refuses while it has not seen the last reader go
            try:
                return self._read(names, hart)
            except OSError:
                if time.monotonic() > deadline:
                    raise

    def _read(self, names, hart):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(self._path)
            stub = _Link(sock)
            stub.ask("?")
            if not self._numbers:
                self._numbers = stub.numbers()
            if stub.ask(f"Hg{hart + 1:x}") != "OK":
                raise LookupError(f"the machine has no hart {hart}")
            values = [int.from_bytes(bytes.fromhex(stub.ask(f"p{self._numbers[name]:x}")), "little")
                      for name in names]
            if not self._stay:
                stub.ask("D")  # QEMU lets the machine run then, whoever has stopped it
        return values


class _Link:
    """Packets of the remote protocol: $text#sum, each acknowledged."""

    def __init__(self, sock):
        self._sock, self._rest = sock, b""

    def ask(self, text):
        self._sock.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode())
        while (found := re.search(rb"\$([^#]*)#..", self._rest)) is None:
            more = self._sock.recv(65536)
            if not more:
                raise OSError("QEMU has closed its GDB stub")
            self._rest += more
        self._rest = self._rest[found.end():]
        self._sock.sendall(b"+")
        return found[1].decode()

    def numbers(self):
        """{name: number} of the control and status registers."""
        self.ask("qSupported:xmlRegisters=riscv;qXfer:features:read+")
        self.ask("qXfer:features:read:target.xml:0,ffb")
        text = ""
        while True:
            part = self.ask(f"qXfer:features:read:{CSR_XML}:{len(text):x},ffb")
            text += part[1:]
            if part[:1] != "m":
                break
        found, number = {}, None
        for tag in re.findall(r"<reg ([^>]*)>", text):
            fields = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            number = int(fields["regnum"]) if "regnum" in fields else number + 1
            found[fields["name"]] = number
        return found
