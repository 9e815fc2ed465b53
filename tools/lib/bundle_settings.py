"""Settings of a bundle: a TOML file in the words of the bundle's own properties.

  vmid-bits                    of the machine
  [images]                     name = "file", relative to the settings file
  [vm.NAME]                    vcpus, memory, ram-base, scatter-pieces, scatter-seed, fill,
                               overcommit, gstage, pool, kernel, ramdisk, fdt, bootargs,
                               unsafe-devices-without-iommu
  [vm.NAME.devices.LABEL]      pci, reset
Sizes are numbers, or text such as "512M"; scatter-pieces is a list of sizes.
Whether the values are within limits is not asked here: bundle_check does that for any bundle.
"""
import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096
_SIZE = re.compile(r"(\d+|0x[0-9a-fA-F]+)\s*([KMGT]?)(?:i?B)?")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class SettingsError(Exception):
    """What is wrong with a settings file, in one sentence."""


@dataclass
class Device:
    label: str
    pci: str
    reset: str | None = None


@dataclass
class Vm:
    name: str
    numbers: dict  # property: (value, bits)
    texts: dict    # property: text
    flags: list = field(default_factory=list)  # properties without a value, those that are on
    devices: list = field(default_factory=list)


@dataclass
class Settings:
    numbers: dict  # of the machine; property: (value, bits)
    images: dict   # name: Path
    vms: list


def parse_size(value, where):
    """Bytes from a number or from text such as "512M"."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise SettingsError(f"{where}: {value!r} is no size (such as 4096 or \"512M\")")
    return int(found[1], 0) << _UNITS[found[2]]


def _parse_pieces(value, where):
    """The mask of scatter-pieces from a list of sizes: bit n stands for 2^n pages."""
    if not isinstance(value, list):
        raise SettingsError(f"{where}: {value!r} is no list of sizes (such as [\"4K\", \"2M\"])")
    mask = 0
    for size in (parse_size(one, where) for one in value):
        if size < PAGE or size & (size - 1):
            raise SettingsError(f"{where}: {size} bytes are no power of two of 4096 and more")
        mask |= size // PAGE
    return mask


def _parse_count(value, where):
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise SettingsError(f"{where}: {value!r} is no number")
    return value


MACHINE = {"vmid-bits": (_parse_count, 32)}  # property: (how to read it, bits)
NUMBERS = {  # the same, of a VM
    "vcpus": (_parse_count, 32),
    "memory": (parse_size, 64),
    "ram-base": (parse_size, 64),
    "scatter-pieces": (_parse_pieces, 32),
    "scatter-seed": (_parse_count, 64),
    "pool": (parse_size, 64),
}
TEXTS = ("fill", "gstage", "kernel", "ramdisk", "fdt", "bootargs")
FLAGS = ("overcommit", "unsafe-devices-without-iommu")


def _expect(value, kind, where):
    """VALUE, if it is of KIND: bytes of a wrong type are a mistake of the file."""
    words = {dict: "table", str: "text", bool: "true or false"}
    if not isinstance(value, kind):
        raise SettingsError(f"{where}: {value!r} is no {words[kind]}")
    return value


def _only(table, known, where):
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise SettingsError(f"{where}: unknown setting \"{key}\"" + (f": is it \"{near[0]}\"?" if near else ""))


def _read_device(label, table, where):
    _expect(table, dict, where)
    _only(table, ("pci", "reset"), where)
    if "pci" not in table:
        raise SettingsError(f"{where}: setting \"pci\" is missing")
    texts = {key: _expect(value, str, f"{where}: {key}") for key, value in table.items()}
    return Device(label, texts["pci"], texts.get("reset"))


def _read_numbers(known, table, where):
    numbers = {}
    for key, (read, bits) in known.items():
        if key in table:
            value = read(table[key], f"{where}: {key}")
            if value >> bits:
                raise SettingsError(f"{where}: {key}: {value} has more than {bits} bits")
            numbers[key] = (value, bits)
    return numbers


def _read_vm(name, table):
    where = f"VM \"{name}\""
    _expect(table, dict, where)
    _only(table, (*NUMBERS, *TEXTS, *FLAGS, "devices"), where)
    numbers = _read_numbers(NUMBERS, table, where)
    texts = {key: _expect(table[key], str, f"{where}: {key}") for key in TEXTS if key in table}
    flags = [key for key in FLAGS if _expect(table.get(key, False), bool, f"{where}: {key}")]
    devices = _expect(table.get("devices", {}), dict, f"{where}: devices")
    return Vm(name, numbers, texts, flags,
              [_read_device(label, device, f"{where}, device \"{label}\"")
               for label, device in devices.items()])


def read_settings(text, folder):
    """Settings from TOML; image files are relative to FOLDER."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"no TOML: {error}") from error
    _only(table, (*MACHINE, "images", "vm"), "settings")
    images = _expect(table.get("images", {}), dict, "settings: images")
    vms = _expect(table.get("vm", {}), dict, "settings: vm")
    return Settings(_read_numbers(MACHINE, table, "settings"),
                    {name: Path(folder) / _expect(path, str, f"image \"{name}\"")
                     for name, path in images.items()},
                    [_read_vm(name, vm) for name, vm in vms.items()])
