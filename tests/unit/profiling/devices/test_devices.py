"""States as devices tell them, presets as data, and devices by name."""

import sys
from pathlib import Path

import pytest

from mobile_seg.errors import ProfileError, UsageError
from mobile_seg.profiling.devices.host import HostDevice
from mobile_seg.profiling.devices.presets import load_preset, names, preset_of
from mobile_seg.profiling.devices.registry import devices_named
from mobile_seg.profiling.devices.state import FILES, SCRIPT, parse_files, parse_thermal_service
from mobile_seg.profiling.measurement import Frequency
from mobile_seg.profiling.runners.registry import check_delegates, runner_named

CPU = "/sys/devices/system/cpu/cpufreq"
THERMAL = "/sys/class/thermal"

# In the form of Android's ThermalManagerService.dump (platform/frameworks/base, services/core, server/power).
SERVICE = """IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=77.0, mType=1, mName=TYPE_CPU, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=24.0, mType=1, mName=TYPE_CPU, mStatus=0}
\tTemperature{mValue=25.3, mType=4, mName=TYPE_SKIN, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=1, mType=4, mName=TYPE_MODEM}
"""


def test_clocks_and_temperatures() -> None:
    state = parse_files(
        [
            f"{CPU}/policy0/scaling_cur_freq=1000000",
            f"{CPU}/policy0/scaling_max_freq=1500000",
            f"{CPU}/policy0/cpuinfo_max_freq=2000000",
            f"{CPU}/policy4/scaling_cur_freq=1000000",
            f"{THERMAL}/thermal_zone0/type=cpu-thermal",
            f"{THERMAL}/thermal_zone0/temp=45125",
            f"{THERMAL}/thermal_zone1/temp=-273000",
            f"{THERMAL}/thermal_zone2/type=nobody",
            "nonsense",
            "",
        ]
    )
    assert state.frequencies == (Frequency("policy0", 1_000_000, 1_500_000, 2_000_000),)
    assert state.temperatures_c == (("cpu-thermal", 45.125),)
    assert state.held_down is True


def test_what_is_not_told_is_not_made_up() -> None:
    state = parse_files([])
    assert (state.frequencies, state.temperatures_c, state.thermal_status, state.held_down) == ((), (), None, None)
    assert parse_thermal_service("Can't find service: thermalservice") == (None, ())


def test_the_thermal_service() -> None:
    assert parse_thermal_service(SERVICE) == (1, (("TYPE_CPU", 24.0), ("TYPE_SKIN", 25.3)))


def test_the_script_reads_every_file() -> None:
    assert all(pattern in SCRIPT for pattern in FILES)


def test_the_host_runs_programs_and_leaves_nothing() -> None:
    host = HostDevice()
    facts = host.facts()
    assert (facts.kind, facts.serial) == ("host", "")
    assert facts.cores >= 1
    host.state()
    with host.workspace() as workspace:
        folder = Path(workspace.folder)
        program = "import os, sys; print(os.environ['SAID']); sys.stderr.write('first\\nlast\\n'); sys.exit(3)"
        done = workspace.run([sys.executable, "-c", program], seconds=60, environment={"SAID": "$HOME; `x`"})
        assert (done.code, done.out.strip(), done.last_words) == (3, "$HOME; `x`", "last")
        (folder / "left").touch()
        with pytest.raises(ProfileError, match=r"left no .*/no: No such file"):
            workspace.get(f"{workspace.folder}/no")
        with pytest.raises(ProfileError, match="took longer than 1 s and was ended"):
            workspace.run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=1)
        with pytest.raises(ProfileError, match="cannot be started here"):
            workspace.run([f"{workspace.folder}/nothing"], seconds=1)
        with pytest.raises(ProfileError, match=r"chmod \+x"):
            workspace.put(folder / "left", executable=True)
    assert not folder.exists()


def test_devices_by_name() -> None:
    (host,) = devices_named(("host", "host"))
    assert isinstance(host, HostDevice)
    for name in ("hots", "adb:", "host:1"):
        with pytest.raises(UsageError, match="host, adb"):
            devices_named((name,))


def test_every_preset_that_comes_along_can_be_measured_with() -> None:
    assert {"host", "pixel-8", "galaxy-s23", "raspberry-pi-5", "coral-dev-board"} <= set(names())
    for name in names():
        preset = load_preset(name)
        assert preset.name == name
        assert preset.title
        check_delegates(runner_named(preset.runner), preset.delegates)
        assert preset.device in ("host", "adb")
    assert load_preset("pixel-8").mask == "f0"
    assert load_preset("raspberry-pi-5").mask == ""


def test_a_preset_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\ndevice = "adb:S1"\nrunner = "c"\ndelegates = ["gpu"]\nthreads = [1]\n')
    assert (load_preset(path).device, load_preset(path).delegates) == ("adb:S1", ("gpu",))
    path.write_text("title = ")
    with pytest.raises(UsageError, match=r"mine\.toml is no TOML"):
        load_preset(path)
    for name in ("pixel-9", "../host", str(tmp_path / "no.toml")):
        with pytest.raises(UsageError, match=r"--preset .* is neither"):
            load_preset(name)


WHOLE = {"title": "T", "device": "host", "runner": "litert", "delegates": ["xnnpack"], "threads": [1]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"thread": [1]}, "unknown key 'thread'; accepted: title, device"),
        ({"delegates": ["xnnpak"]}, r"delegates=\('xnnpak',\); choose from xnnpack"),
        ({"delegates": "xnnpack"}, "delegates must be a list"),
        ({"delegates": []}, "delegates="),
        ({"threads": []}, "threads="),
        ({"threads": ["1"]}, "threads="),
        ({"masks": {"big": "0x10"}}, "masks.big='0x10'"),
        ({"masks": {"big": 16}}, "masks.big=16"),
        ({"masks": {"big": "0"}}, "masks.big='0'"),
        ({"masks": "f0"}, "masks must be a table"),
        ({"cores": "big"}, "cores='big' is no group"),
        ({"title": 8}, "title must be text"),
    ],
    ids=str,
)
def test_presets_that_are_refused(changed: dict, said: str) -> None:
    assert preset_of(WHOLE, name="p").threads == (1,)
    with pytest.raises(UsageError, match=said):
        preset_of({**WHOLE, **changed}, name="p")


@pytest.mark.parametrize("key", WHOLE)
def test_a_preset_that_lacks_a_key(key: str) -> None:
    with pytest.raises(UsageError, match=f"p: {key} missing"):
        preset_of({name: value for name, value in WHOLE.items() if name != key}, name="p")
