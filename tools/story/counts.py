"""What was counted: bytes, attempts, faults, exits; and the state of devices that an attack could
change."""
import scene
import verdict

NVME_REGISTERS = [("CC", 0x14, 4), ("AQA", 0x24, 4), ("ASQ", 0x28, 8), ("ACQ", 0x30, 8)]
CONFIG_WORDS = [(f"configuration word {at:#x}", at, 4) for at in (0x0, 0x4, 0x10, 0x14, 0x3c)]


def device_state(qmp):
    """{name: value} of what stands in the registers of the IOMMU and of red's disk."""
    state = {f"IOMMU register {name}": value for name, value in scene.iommu_registers(qmp).items()}
    bar = scene.bars(qmp).get(scene.RED_DISK)
    for where, base, listed in (("red's NVMe", bar, NVME_REGISTERS),
                                ("red's NVMe", scene.ECAM + (scene.RED_DISK << 15), CONFIG_WORDS)):
        for name, offset, length in listed if base else ():
            state[f"{where}, {name}"] = scene.read_physical(qmp, base + offset, length)
    return state


def judge_messages(story, events, lost):
    """Each forged message must have left a fault record; where records were lost, it is counted."""
    sent = [a for a in story.answers if a["verb"] == "message"]
    silent = [a for a in sent if not verdict.recorded(a, scene.edu_id(a["by"]), events)]
    for answer in silent if not lost else ():
        story.verdict.escape(f"a forged message to {answer['iova']:#x} left no fault record")
    return {"forged": len(sent), "recorded": len(sent) - len(silent),
            "counted_only": len(silent) if lost else 0}


def fill(story):
    """The verdict's table of devices, its faults and its exits."""
    facts = story.verdict.facts
    faults = story.faults()
    stats = [{k: v for k, v in e.items() if k != "event"}
             for e in story.machine.channel.events if e["event"] == "iommu-faults"][-1:]
    lost = {"overflows": sum(s["overflows"] for s in stats),
            "suppressed": sum(s["suppressed"] for s in stats),
            "left_out": sum(e["count"] for e in story.machine.channel.events
                            if e["event"] == "faults-left-out")}
    story.machine.channel.ask("exits", "exits", 60)
    exits = {e["vm"]: {k: v for k, v in e.items() if k not in ("event", "vm")}
             for e in story.machine.channel.events if e["event"] == "vm-exits"}
    channel = story.machine.channel
    if channel.lost or channel.skipped:
        story.verdict.trouble(f"the host channel lost {channel.lost} frames, and {channel.skipped} bytes "
                              "of it were no frame: what was counted may lack something")
    moved = scene.disk_bytes(story.machine.qmp)
    facts |= {"faults": verdict.fault_lines(faults), "iommu_faults": stats, "exits": exits,
              "messages": judge_messages(story, faults, any(lost.values())),
              "disks": {name: {"read": r, "written": w} for name, (r, w) in moved.items()}}
    story.verdict.devices = [disk_row(f"00:{slot:02x}.0 NVMe", name, sum(moved.get(name, (0, 0))),
                                      slot, faults)
                             for slot, name in ((scene.RED_DISK, "red"), (scene.BLUE_DISK, "blue"))]
    story.verdict.devices += [edu_row(story, n, faults) for n in range(scene.EDUS)]
    story.verdict.devices.append(
        {"device": "all", "owner": "", **{key: sum(d[key] for d in story.verdict.devices)
                                          for key in ("bytes_moved", "attempts", "refused",
                                                      "fault_records")},
         "fault_records_lost": lost["suppressed"], "fault_records_left_out": lost["left_out"],
         "overflows": lost["overflows"]})


def records_of(device_id, faults):
    return sum(e["count"] for e in faults if int(e["device_id"], 0) == device_id)


def disk_row(device, owner, moved, slot, faults):
    return {"device": device, "owner": owner, "bytes_moved": moved, "attempts": 0, "refused": 0,
            "fault_records": records_of(slot << 3, faults)}


def edu_row(story, number, faults):
    mine = [a for a in story.answers if a["by"] == number]
    tries = [a for a in mine if a["verb"] != "own"]
    return {"device": f"00:{scene.FIRST_EDU + number:02x}.0 edu", "owner": "blue",
            "bytes_moved": 2 * 4096 * (len(mine) - len(tries)), "attempts": len(tries),
            "refused": len(tries) - sum(1 for a in tries if a["leaked"] and not a["idle"]),
            "fault_records": records_of(scene.edu_id(number), faults)}
