"""Clock rates and temperatures as Linux and Android tell them.

Linux: /sys/devices/system/cpu/cpufreq and /sys/class/thermal (kernel documentation, admin-guide/pm/cpufreq and
driver-api/thermal/sysfs-api). Android 10 and later: `dumpsys thermalservice`, whose last list of temperatures is
read from the hardware at that moment (ThermalManagerService.dump).
"""

import re
from collections.abc import Iterable

from mobile_seg.profiling.measurement import DeviceState, Frequency

FILES = (
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq",
    "/sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
)
"""Patterns of the files to read; each holds one short line."""

SCRIPT = f'for file in {" ".join(FILES)}; do [ -r "$file" ] && echo "$file=$(cat "$file" 2>/dev/null)"; done; true'
"""A shell script, the same for every device, that prints what `parse_files` reads."""

_CURRENT = "Current temperatures from HAL:"
_TEMPERATURE = re.compile(r"Temperature\{mValue=([-\d.]+), mType=-?\d+, mName=([^,]+), mStatus=-?\d+\}")
_PLAUSIBLE_C = (-40.0, 200.0)
"""Sensors that are switched off read as -99.9, -273 or a million."""


def parse_files(lines: Iterable[str]) -> DeviceState:
    """Read lines `path=content` of `FILES`; a file that is missing or unreadable is left out."""
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        path, _, content = line.strip().partition("=")
        folder, _, name = path.rpartition("/")
        if content.strip():
            found.setdefault(folder, {})[name] = content.strip()
    return DeviceState(
        frequencies=tuple(one for folder in sorted(found) if (one := _frequency(folder, found[folder]))),
        temperatures_c=tuple(zone for folder in sorted(found) if (zone := _zone(folder, found[folder]))),
    )


def parse_thermal_service(text: str) -> tuple[int | None, tuple[tuple[str, float], ...]]:
    """Read `dumpsys thermalservice`: the status, and the temperatures in degrees Celsius by name."""
    status = re.search(r"^\s*Thermal Status: (\d+)", text, re.MULTILINE)
    current = text.rpartition(_CURRENT)[2] if _CURRENT in text else ""
    degrees = tuple((name, float(value)) for value, name in _TEMPERATURE.findall(current) if _plausible(float(value)))
    return int(status[1]) if status else None, degrees


def _frequency(folder: str, files: dict[str, str]) -> Frequency | None:
    names = ("scaling_cur_freq", "scaling_max_freq", "cpuinfo_max_freq")
    numbers = [int(files[name]) for name in names if files.get(name, "").isdigit()]
    return Frequency(folder.rpartition("/")[2], *numbers) if len(numbers) == len(names) else None


def _zone(folder: str, files: dict[str, str]) -> tuple[str, float] | None:
    try:
        degrees = int(files["temp"]) / 1000  # the kernel counts in thousandths
    except (KeyError, ValueError):
        return None
    return (files.get("type", folder.rpartition("/")[2]), degrees) if _plausible(degrees) else None


def _plausible(degrees: float) -> bool:
    return _PLAUSIBLE_C[0] < degrees < _PLAUSIBLE_C[1]
