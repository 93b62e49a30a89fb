"""Devices by the names that `--device` takes: `host`, `adb` (every phone that is plugged in), `adb:SERIAL`."""

from mobile_seg.errors import UsageError
from mobile_seg.profiling.devices.base import Device
from mobile_seg.profiling.devices.host import HostDevice

ACCEPTED = "host, adb (every phone that is connected) or adb:SERIAL"


def devices_named(names: tuple[str, ...]) -> list[Device]:
    """Return the devices, each once.

    Raises:
        UsageError: for a name of another form, or a phone that is not ready.
        MissingExtraError, ProfileError: as `devices.adb.connected` does.
    """
    found: dict[str, Device] = {}
    for name in names:
        kind, _, serial = name.partition(":")
        if name == "host":
            found[name] = HostDevice()
        elif kind == "adb" and (serial or name == "adb"):
            from mobile_seg.profiling.devices.adb import connected

            found |= {f"adb:{phone.serial}": phone for phone in connected(serial or None)}
        else:
            raise UsageError(f"--device {name!r} is not known; give {ACCEPTED}")
    return list(found.values())
