"""Nothing is cut silently and no two kinds of address mix."""
import pytest

from cordon import _abi
from cordon.errors import from_code
from cordon.types import Extent, Gpa, Hpa, Iova, Perm, address, size_bytes


def test_addresses_take_ints_and_hex_and_show_hex():
    assert Gpa(0x8000_0000) == Gpa("0x8000_0000")
    assert repr(Hpa(0x1000)) == "Hpa(0x1000)"
    assert int(Iova("4096")) == 4096


@pytest.mark.parametrize("value", [-1, 1 << 64, "0x10000000000000000"])
def test_an_address_that_does_not_fit_is_refused(value):
    with pytest.raises(OverflowError, match="64 bits"):
        Gpa(value)


@pytest.mark.parametrize("value", [1.5, None, b"1", [1]])
def test_an_address_out_of_something_else_is_refused(value):
    with pytest.raises(TypeError):
        Gpa(value)


def test_kinds_of_address_do_not_mix():
    with pytest.raises(TypeError, match="lookup"):
        address(Gpa, Hpa(0x1000))
    with pytest.raises(TypeError, match="different kinds"):
        Gpa(1) < Hpa(2)
    with pytest.raises(TypeError):
        Gpa(Hpa(1))
    assert Gpa(1) != Hpa(1)


def test_address_arithmetic_stays_in_its_kind_and_in_range():
    assert Gpa(0x1000) + 0x10 == Gpa(0x1010)
    assert Gpa(0x1010) - Gpa(0x1000) == 0x10
    with pytest.raises(OverflowError):
        Gpa((1 << 64) - 1) + 1


def test_an_address_cannot_be_changed():
    with pytest.raises(AttributeError):
        Gpa(1).v = 2


def test_a_field_that_does_not_fit_is_refused():
    with pytest.raises(OverflowError, match=r"DeviceConfig.device_id: 0x100000000"):
        _abi.DeviceConfig(device_id=1 << 32)
    config = _abi.DeviceConfig()
    with pytest.raises(OverflowError, match="unsigned"):
        config.drain = -1
    with pytest.raises(OverflowError, match="31 bytes"):
        config.name = "n" * 32
    with pytest.raises(ValueError, match="zero byte"):
        config.name = "nic\0evil"
    with pytest.raises(AttributeError, match="no field"):
        config.nmae = "x"


def test_records_fill_in_their_size():
    assert _abi.DeviceConfig().size == 48
    assert _abi.Op().kind == 0


def test_rights_are_written_as_letters():
    assert Perm.of("rw") == Perm.RW and str(Perm.RW) == "rw-"
    assert Perm.of("r-x") == Perm.R | Perm.X
    with pytest.raises(ValueError, match="'q'|rq"):
        Perm.of("rq")


def test_sizes_have_units():
    assert size_bytes("2M") == 2 << 20 and size_bytes("0x2000") == 0x2000 and size_bytes(7) == 7
    assert Extent("0x1000", "8K").end == Hpa(0x3000)


def test_errors_carry_what_they_are_about():
    error = from_code(-_abi.CORDON_EPERM, "cordon_change", "not the caller's", hpa=Hpa(0x1000), count=17)
    assert type(error).__name__ == "NotOwner" and error.code == _abi.CORDON_EPERM
    assert error.hpa == Hpa(0x1000) and error.count == 17
    assert "cordon_change" in str(error) and "CORDON_EPERM" in str(error) and "0x11" in str(error)
    with pytest.raises(AttributeError):
        error.gpa
