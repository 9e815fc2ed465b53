"""The literal walker as an oracle: python3 -m cordon.judge DUMP answers each request of a dump file."""
import json
import sys

from ..dump import DumpError, load
from ..dump.oracle import walker_verdicts
from .dc import Unsupported


def main(arguments):
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("usage: python3 -m cordon.judge DUMP\nPrints a line of JSON for each request of the dump file: "
              "where it leads, or the cause why not.", file=sys.stderr)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    try:
        verdicts = walker_verdicts(load(arguments[0]))
    except (DumpError, Unsupported) as why:
        print(why, file=sys.stderr)
        return 2
    for number, verdict in enumerate(verdicts):
        said = {"cause": verdict.cause} if verdict.cause else {"hpa": hex(verdict.hpa)}
        print(json.dumps({"request": number, **said}))
    return 0


sys.exit(main(sys.argv[1:]))
