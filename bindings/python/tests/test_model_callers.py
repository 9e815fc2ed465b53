"""Callers and callbacks of the software IOMMU that misbehave: it tells them so, and neither hangs nor leaves memory."""
import threading

import pytest

from cordon import PAGE, UseAfterClose
from cordon.backends import BACKENDS
from cordon.model import Engine, ModelIommu

pytestmark = pytest.mark.skipif(BACKENDS["model"].missing() is not None,
                                reason=f"model: {BACKENDS['model'].missing()}")


@pytest.mark.parametrize("answer, error", [
    (lambda m, at: m.read(0x10, 8), RuntimeError), (lambda m, at: m.engines[0].write(0x2000, b"x"), RuntimeError),
    (lambda m, at: "text", TypeError), (lambda m, at: [300], TypeError), (lambda m, at: 1 // 0, ZeroDivisionError)])
def test_what_stands_outside_of_memory_may_fail_but_not_hang(answer, error):
    model = ModelIommu(bytearray(4 * PAGE), 0x1000, outside=lambda at, what: answer(model, at))
    engine = Engine(model, 5)
    model.write(0x10, 1, 8)  # Bare
    with pytest.raises(error):
        engine.read(0x100000, 4)
    assert "translations" in repr(model)
    engine.write(0x1000, b"next")
    assert engine.read(0x1000, 4) == b"next"
    model.close()


def test_views_of_an_engine_that_is_closed_lead_to_memory():
    model = ModelIommu(bytearray(4 * PAGE), 0x1000)
    engine = Engine(model, 5)
    engine.buffer[:4] = b"mine"
    view = memoryview(engine.buffer)[:4]
    model.close()
    others = [Engine(ModelIommu(bytearray(4 * PAGE), 0x1000), n) for n in range(8)]
    for other in others:
        other.buffer[:4] = b"fake"
    assert view == b"mine"
    with pytest.raises(ValueError, match="length: -1"):
        others[0].read(0, -1)


def test_close_waits_for_the_call_that_is_under_way():
    inside, go_on = threading.Event(), threading.Event()

    def outside(at, what):
        inside.set()
        assert go_on.wait(10)
        return b""
    ram = bytearray(4 * PAGE)
    ram[:16] = (2 | 1 << 10).to_bytes(8, "little") + (0x100000 >> 2).to_bytes(8, "little")  # IOFENCE.C, AV
    model = ModelIommu(ram, 0x1000, outside=outside)
    model.write(0x18, 0x1000 >> 12 << 10, 8)
    model.write(0x48, 1)
    caller = threading.Thread(target=model.write, args=(0x24, 1))
    caller.start()
    assert inside.wait(10)
    closer = threading.Thread(target=model.close)
    closer.start()
    closer.join(0.1)
    waits = closer.is_alive()
    go_on.set()
    caller.join(10)
    closer.join(10)
    assert waits and "closed" in repr(model)
    with pytest.raises(UseAfterClose):
        model.read(0)


def test_model_closed_by_its_own_callback_is_refused():
    model = ModelIommu(bytearray(4 * PAGE), 0x1000, outside=lambda at, what: model.close())
    model.write(0x10, 1, 8)
    with pytest.raises(RuntimeError, match="must not call the model"):
        Engine(model, 5).write(0x100000, b"text")
    model.close()
