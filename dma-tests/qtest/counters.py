"""The IOMMU's own event counters as an instrument: whether a translation came out of its caches."""
IOCOUNTINH, CTR1, EVT1 = 0x5c, 0x68, 0x160
UNTRANSLATED, TLB_MISS, DDT_WALK, SECOND_STAGE_WALK = 1, 4, 5, 8
_EVENTS = (UNTRANSLATED, TLB_MISS, DDT_WALK, SECOND_STAGE_WALK)


class Counters:
    """Counts the four events from start() on."""

    def __init__(self, plat):
        self._plat = plat
        for index, event in enumerate(_EVENTS):
            plat.set_register(EVT1 + 8 * index, event, 8)
        plat.set_register(IOCOUNTINH, 0)
        self.start()

    def start(self):
        for index in range(len(_EVENTS)):
            self._plat.set_register(CTR1 + 8 * index, 0, 8)

    def read(self):
        return {event: self._plat.register(CTR1 + 8 * index, 8) for index, event in enumerate(_EVENTS)}


def assert_warm(plat, action):
    """ACTION does DMA that no table is read for: every cache that could be stale is filled."""
    action()
    counters = Counters(plat)
    action()
    seen = counters.read()
    assert seen[UNTRANSLATED] > 0, "no request was counted"
    assert seen[TLB_MISS] == seen[DDT_WALK] == seen[SECOND_STAGE_WALK] == 0, f"the caches are cold: {seen}"
