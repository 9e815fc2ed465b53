"""python3 -m cordon.judged: the property suite for so many seconds, with progress; a failing program is
printed as short as Hypothesis can make it. CORDON_LIB names another library to judge."""
import secrets
import sys
import time

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
    print(f"seed {seed}: {', '.join('/'.join(pair) for pair in wanted)}, {seconds:g} s", flush=True)
    end = time.monotonic() + seconds
    for n, (name, kind) in enumerate(wanted):
        if why := BACKENDS[name].missing():
            print(f"left out: {name}: {why}")
            continue
        share = (end - time.monotonic()) / (len(wanted) - n)
        try:
            print(run(name, kind, seed, share, tell=lambda line: print(line, flush=True),
                      shrink=shrink), flush=True)
        except Failure as failure:
            sys.exit(str(failure))


if __name__ == "__main__":
    main()
