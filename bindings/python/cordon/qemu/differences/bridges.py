"""Probe of the device id of a device behind a bridge: its bus, device and function [IOMMU 2.1]."""
from ...devices.edu import EduDriver
from ..pci import Function

ARGUMENTS = ("-device", "pcie-root-port,id=behind,addr=5.0,chassis=1", "-device", "edu,bus=behind,addr=0.0")
_PORT, _BEHIND = 5 << 3, 1 << 8
_BUSES, _WINDOW_IO, _WINDOW, _WINDOW_PREFETCHABLE = 0x18, 0x1c, 0x20, 0x24
_ADDRESS = 0x50000000


def device_is_on_bus_zero(bench):
    qtest = bench.machine.qtest
    port = bench.machine.functions[_PORT]
    port.set_config(_BUSES, 1 << 16 | 1 << 8)
    port.set_config(_WINDOW_IO, 0x00f0, 2)
    port.set_config(_WINDOW, _ADDRESS >> 16 | _ADDRESS)
    port.set_config(_WINDOW_PREFETCHABLE, 0x0000fff0)
    port.command(memory=True, master=True)
    behind = Function(qtest, _BEHIND)
    behind.place_bars(_ADDRESS)
    behind.command(master=True)
    bench.faults()
    EduDriver(behind).load(bench.gpa(), 4)
    ids = {record.device_id for record in bench.faults()}
    bench.must(ids in ({0}, {_BEHIND}), f"the request is told with one of the two ids, for it is {ids}")
    return ids == {0}
