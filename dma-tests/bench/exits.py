"""What an exit costs, in instructions that the guest sees."""
import bundle
import machine as boots
from cordon.machine.machine import HYPERVISOR
from emulator import Emulator
from figures import Figure

# name of the payload's line, what it is, goal, the best of the others on the same emulator
ROWS = [("sbi-base-version", "SBI BASE call", 120, (244, "Bao")),
        ("sbi-base-probe", "SBI BASE probe", 120, (244, "Bao")),
        ("sbi-hsm-status", "an uncommon SBI call (HSM status)", 160, None),
        ("sbi-set-timer", "SBI set_timer", 120, None),
        ("mmio-read", "emulated register read", 180, (287, "Bao"))]


def run(env):
    env.say("exits: 10,000 of each kind, -icount shift=0")
    payload = boots.bare_guest("bench", env.parts.folder)
    blob = bundle.make({"guest": payload}, {"solo": boots.bare()})
    with Emulator(HYPERVISOR, env.parts.write("exits.itb", blob), icount=True) as machine:
        machine.wait(r"\[solo\] PASSED")
        found = {m[1]: int(m[2]) for m in machine.console.find(r"\[solo\] bench (\S+) (\d+)")}
    figures = []
    for name, what, goal, peer in ROWS:
        beside, against = peer or (None, "")
        figures.append(Figure("exits", name, "instructions", found.get(name), beside,
                              f"{against}, measured earlier" if against else "", goal, of="ours", note=what))
    return figures
