"""One call of cordon_change, with everything that belongs to it, in instructions (bench_change.c)."""
import callgrind
from emulator import TREE
from figures import Figure

PROGRAM = TREE / "out/bench/bench_change"
ONE, RUN, SCATTERED, PAGES = 600, 14, 30, 256
NOTE = "1,000 regions, two views"
# operation, its function, the pair that it belongs to, pages a call, goal a page
ROWS = (("grant-1", "op_grant_1", "grant-1", 1, ONE), ("revoke-1", "op_revoke_1", "grant-1", 1, ONE),
        ("protect-1", "op_protect_1", "protect-1", 1, ONE),
        ("grant-run", "op_grant_run", "grant-run", PAGES, RUN),
        ("revoke-run", "op_revoke_run", "grant-run", PAGES, RUN),
        ("grant-256", "op_grant_256", "grant-256", PAGES, SCATTERED),
        ("revoke-256", "op_revoke_256", "grant-256", PAGES, SCATTERED),
        ("grant-2M", "op_grant_2m", "grant-2m", 1, ONE), ("revoke-2M", "op_revoke_2m", "grant-2m", 1, ONE),
        ("grant-1G", "op_grant_1g", "grant-1g", 1, ONE), ("revoke-1G", "op_revoke_1g", "grant-1g", 1, ONE))


def run(env):
    env.say("calls: instructions of whole calls, under callgrind")
    calls = 50 if env.quick else 500
    return [Figure("calls", name, "instructions a page" if pages > 1 else "instructions a call",
                   callgrind.per_call(PROGRAM, function, op, calls) / pages, limit=goal, of="ours", note=NOTE)
            for name, function, op, pages, goal in ROWS]
