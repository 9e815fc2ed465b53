"""The command line: cordon dump, cordon walk, cordon judge."""
import json
import os
import sys
import traceback
from contextlib import contextmanager, nullcontext

import click
from rich.console import Console

from .dump import DumpError, load, views_of
from .dump import chain as chains
from .dump.format import save as save_dump
from .dump.oracle import OracleError, ask, differences, walker_verdicts, with_requests
from .judge import Unsupported
from .judge.tables import TooManyTables
from .machine.channel import ChannelError

WRONG = (DumpError, OracleError, Unsupported, TooManyTables, OSError, ChannelError)
LIVE = "channel:"
WORDS = {"gva", "iova", "gpa", "hva", "hpa", "address", "word", "value", "root", "base", "ddtp", "capabilities", "hgatp",
         "satp", "vsatp"}  # keys of numbers that may need 64 bits
PICTURES = (".svg", ".png", ".pdf")


class Number(click.ParamType):
    """An address: 0x1000, 4096, 0x8000_0000."""

    name = "address"

    def convert(self, value, param, ctx):
        try:
            number = value if isinstance(value, int) else int(value, 0)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not 0 <= number < 1 << 64:
            self.fail(f"{value!r} does not fit in 64 bits", param, ctx)
        return number


def _open(source):
    """A context of the dump that SOURCE names: a file, or qmp:SOCKET for a running machine."""
    if source.startswith("qmp:"):
        from .dump.machine import machine
        return machine(source[4:])
    if source.startswith(LIVE):
        raise click.UsageError("only `cordon walk` asks a host channel; the machine's tables are read at qmp:SOCKET")
    return nullcontext(load(source))


def _echo_json(told):
    """TOLD as JSON. What may need 64 bits is text, for many readers (jq) keep 53 bits of a number."""
    def plain(value, key=""):
        if isinstance(value, dict):
            return {name: plain(part, name) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part, key) for part in value]
        return hex(value) if key in WORDS and isinstance(value, int) else value
    click.echo(json.dumps(plain(told), indent=1))


def _views(dump):
    try:
        return views_of(dump)
    except LookupError as why:
        raise DumpError(dump.made_by, "tables", f"a table is not in the dump: {why}") from None


class _Console(Console):
    """Rich of today ends by itself, with 1, when nobody reads on."""

    def on_broken_pipe(self):
        raise BrokenPipeError


class _Commands(click.Group):
    """Ends with 2 when nobody reads on: 1, as click has it, would say that something was found."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python flushes at its end
            sys.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli():
    """Look at what guests and devices reach.

    SOURCE is a dump file, as cordon.dump.save() and `cordon dump --save` write them, or qmp:SOCKET, the QMP
    socket of a running QEMU (-qmp unix:SOCKET,server=on,wait=off). `cordon walk` also takes channel:SOCKET, the
    host channel of a machine that runs Cordon, which goes on meanwhile.
    """


def _picture(_context, _option, path):
    """PATH, if a picture can be called so."""
    if path is not None and not path.endswith(PICTURES):
        raise click.BadParameter(f"{path!r} ends in none of {', '.join(PICTURES)}")
    return path


def _draw(found, views, path):
    try:
        from .dump.picture import draw
        draw(found, views, path)
    except ModuleNotFoundError as why:
        raise click.UsageError(f"a picture needs {why.name}: pip install {why.name}, or apt install "
                               f"python3-{why.name}") from None


@contextmanager
def _writing(path):
    """What cannot be written is told with its name, which a write alone (to a full disk) does not know."""
    try:
        yield
    except OSError as why:
        raise OSError(f"{path}: {why.strerror or why}") from None


@cli.command()
@click.argument("source")
@click.option("--json", "as_json", is_flag=True, help="Every run, as JSON.")
@click.option("--picture", metavar="FILE", callback=_picture, help="Draw it: .svg, .png or .pdf.")
@click.option("--save", metavar="FILE", help="Keep the dump in a file.")
@click.option("--runs", default=16, show_default=True, type=click.IntRange(1), help="Most runs to show a view.")
def dump(source, as_json, picture, save, runs):
    """What each domain's harts and each device reach, where it stands, and who else reaches it.

    Exit status 1 if two domains reach the same memory and it was not lent, or tables break a rule of the
    specification.
    """
    from .dump import text
    with _open(source) as found:
        views = _views(found)
    told = text.to_json(found, views)
    if save:
        with _writing(save):
            save_dump(found, save)
    if picture:
        with _writing(picture):
            _draw(found, views, picture)
    if as_json:
        _echo_json(told)
    else:
        text.show(_Console(width=None if sys.stdout.isatty() else 140), found, views, runs)
    foreign = any(not other["entitled"] for view in told["views"] for run in view["runs"]
                  for other in run["others"])
    sys.exit(1 if foreign or any(view.broken for view in views) else 0)


@cli.command()
@click.argument("source")
@click.option("--iova", type=Number(), help="An address that a device uses; with --device.")
@click.option("--gpa", type=Number(), help="An address of a guest's memory; with --domain.")
@click.option("--gva", type=Number(), help="A virtual address of a guest; with --hart, or --guest and --vcpu.")
@click.option("--device", metavar="ID", help="0x10, 00:02.0, or its name.")
@click.option("--domain", metavar="NAME", help="A domain's name or number.")
@click.option("--hart", type=int, help="The hart whose guest is meant.")
@click.option("--guest", metavar="NAME", help="A guest of a machine that runs: SOURCE is channel:SOCKET.")
@click.option("--vcpu", type=int, help="Its vCPU, from 0 on.")
@click.option("--who", type=click.Choice(["user", "supervisor"]), help="Who asks; else the vCPU as it is met.")
@click.option("--access", type=click.Choice(["r", "w", "x"]), help="r unless said; of a vCPU that runs: any leaf.")
@click.option("--json", "as_json", is_flag=True)
def walk(source, iova, gpa, gva, device, domain, hart, guest, vcpu, who, access, as_json):
    """Each word on the way from an address to host memory, and why it stops.

    \b
    cordon walk red.dump --iova 0x80001000 --device 00:02.0 --access w
    cordon walk red.dump --gpa 0x80001000 --domain red
    cordon walk channel:/tmp/channel.sock --gva 0xffffffff80001000 --guest red --vcpu 1

    Exit status 1 if the address leads nowhere.
    """
    live = source.startswith(LIVE)
    if live and (gva is None or any(value is not None for value in (iova, gpa, device, domain, hart))):
        raise click.UsageError("a machine that runs is asked for --gva, with --guest and --vcpu; --iova and --gpa are "
                               "walked at its qmp:SOCKET, or in a dump")
    if live != (guest is not None) or live != (vcpu is not None) or who and not live:
        raise click.UsageError("--guest and --vcpu go together, with channel:SOCKET; --who with them")
    if live:
        answer = _ask_vcpu(source[len(LIVE):], guest, vcpu, gva, access or "", who or "")
        _tell(answer, as_json)
        sys.exit(0 if answer.leads else 1)
    given = [name for name, value in (("--iova", iova), ("--gpa", gpa), ("--gva", gva)) if value is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --iova, --gpa and --gva")
    partner = {"--iova": ("--device", device), "--gpa": ("--domain", domain), "--gva": ("--hart", hart)}[given[0]]
    if partner[1] is None:
        raise click.UsageError(f"{given[0]} needs {partner[0]}")
    with _open(source) as found:
        try:
            if iova is not None:
                ask_about = chains.from_iova, _device(found, device), iova
            elif gpa is not None:
                ask_about = chains.from_gpa, found.domain(domain), gpa
            else:
                ask_about = chains.from_gva, _hart(found, hart), gva
        except KeyError as why:
            raise click.UsageError(str(why.args[0])) from None
        answer = ask_about[0](found, *ask_about[1:], access or "r")
    _tell(answer, as_json)
    sys.exit(0 if answer.hpa is not None else 1)


def _tell(answer, as_json):
    if as_json:
        _echo_json(answer.to_json())
    else:
        click.echo(str(answer))


def _ask_vcpu(path, guest, vcpu, gva, access, who):
    """The walk of a machine that runs on."""
    from .machine.live import channel_at
    from .machine.vcpu import Vcpu
    with channel_at(path) as channel:
        return Vcpu(guest, vcpu, channel.order).translate(gva, access, who)


def _device(dump, name):
    """A device by name, or any id: one that nobody named is asked about as well."""
    from .dump.format import DeviceState, as_device_id
    try:
        return dump.device(name)
    except KeyError:
        number = as_device_id(name)
        if number is None or not 0 <= number < 1 << 24 or not dump.iommus:
            raise
        return DeviceState(number, "")


def _hart(dump, number):
    for hart in dump.harts:
        if hart.number == number:
            if not hart.hgatp >> 60:
                guests = ", ".join(str(hart.number) for hart in dump.harts if hart.hgatp >> 60)
                raise KeyError(f"hart {number} has no guest; those that have: {guests or 'none'}")
            return hart
    raise KeyError(f"no hart {number}; there are "
                   + (", ".join(str(hart.number) for hart in dump.harts) or "none: only dumps of machines have"))


@cli.command()
@click.argument("source")
@click.option("--oracle", "oracles", multiple=True, metavar="CMD",
              help="A judge of your own: CMD FILE prints a verdict for each request of the dump FILE.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds that an oracle has.")
@click.option("--json", "as_json", is_flag=True)
def judge(source, oracles, timeout, as_json):
    """Have requests judged by the literal walker and by oracles, and compare.

    The dump's own requests are judged, or the edges of all that each device reaches. docs/dump.md tells how
    an oracle answers; `python3 -m cordon.judge` is one. Exit status 1 if two judges differ.
    """
    with _open(source) as found:
        found = with_requests(found, _views(found))
        ours = walker_verdicts(found)
    result = {"requests": len(found.requests), "oracles": {}}
    for command in oracles:
        result["oracles"][command] = [
            {**request, "walker": str(mine), "oracle": str(theirs)}
            for request, mine, theirs in differences(found, ours, ask(command, found, timeout))]
    if as_json:
        _echo_json(result)
    else:
        click.echo(f"{len(found.requests)} requests, {sum(not v.cause for v in ours)} lead somewhere")
        for command, apart in result["oracles"].items():
            click.echo(f"{command}: {len(apart)} differ")
            for row in apart[:20]:
                click.echo(f"  device {row['device']:#x} {row['access']} {row['iova']:#x}: walker says "
                           f"{row['walker']}, oracle {row['oracle']}")
    sys.exit(1 if any(result["oracles"].values()) else 0)


def main():
    try:
        cli()
    except WRONG as why:
        click.echo(f"cordon: {why}", err=True)
        sys.exit(2)
    except Exception:  # 1 would say that something was found
        traceback.print_exc()
        sys.exit(2)


if __name__ == "__main__":
    main()
