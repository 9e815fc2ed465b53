"""python3 -m cordon.judged: the property suite for so many seconds, with progress; a failing program is
printed as short as Hypothesis can make it. CORDON_LIB names another library to judge."""
import os
import secrets
import signal
import sys
import tempfile
import time
import traceback

import click

from ..backends import BACKENDS
from .run import Failure, run
from .world import VARIANTS


@click.command()
@click.option("--seconds", type=float, default=20, show_default=True, help="How long, for all platforms.")
@click.option("--backend", default="model", show_default=True, help=f"Out of {', '.join(VARIANTS)}.")
@click.option("--variant", help="One variant of the platform only.")
@click.option("--seed", type=int, help="Where to begin; printed otherwise.")
@click.option("--shrink/--no-shrink", default=True, help="Make a failing program shorter.")
def main(seconds, backend, variant, seed, shrink):
    """Judge random programs of steps by every judge."""
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    wanted = [(name, kind) for name in backend.split(",") for kind in VARIANTS.get(name, ())
              if variant in (None, kind)]
    if not wanted:
        raise click.UsageError(f"there is no {backend!r} with {variant!r}")
    say(f"seed {seed}: {', '.join('/'.join(pair) for pair in wanted)}, {seconds:g} s")
    with tempfile.TemporaryFile("w+") as journal:
        if (child := os.fork()) == 0:
            os._exit(judge(wanted, seed, seconds, shrink, journal))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status < 0:
            journal.seek(0)
            say(f"the library has ended the process: {signal.Signals(-status).name}\n"
                f"---- the program:\n{journal.read()}")
    sys.exit(1 if status else 0)


def say(line):
    print(line, flush=True)


def judge(wanted, seed, seconds, shrink, journal):
    """All platforms that are WANTED, one after the other; an exit status."""
    end = time.monotonic() + seconds
    try:
        for n, (name, kind) in enumerate(wanted):
            if why := BACKENDS[name].missing():
                say(f"left out: {name}: {why}")
                continue
            share = (end - time.monotonic()) / (len(wanted) - n)
            say(run(name, kind, seed, share, tell=say, shrink=shrink, journal=journal))
    except Failure as failure:
        say(str(failure))
        return 1
    except BaseException:
        traceback.print_exc()
        return 2
    return 0


if __name__ == "__main__":
    main()
