"""What one measurement of a model on a device holds, whichever runner took it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError
from mobile_seg.profiling.confidence import is_tight, median_interval

SCHEMA = "mobile-seg.profile/1"

SAMPLES = ("run", "process median", "process mean")
"""What one sample is: a single run, or where a tool tells no single runs, what it tells of one process."""


@dataclass(frozen=True)
class DeviceFacts:
    """Which device it is; `serial` tells two of one name apart and is empty on the host."""

    kind: str
    name: str
    serial: str
    abi: str
    system: str
    cores: int

    @property
    def label(self) -> str:
        """Return the name, with the serial where there is one."""
        return f"{self.name} ({self.serial})" if self.serial else self.name


@dataclass(frozen=True)
class Frequency:
    """One group of cores that share a clock, in kHz: now, the most allowed now, the most the hardware can."""

    policy: str
    current_khz: int
    allowed_khz: int
    possible_khz: int


@dataclass(frozen=True)
class DeviceState:
    """How fast and how warm a device is at one moment; what it does not tell is empty or None.

    `thermal_status` is Android's, from 0 (none) by 3 (severe) to 6 (shutdown).
    """

    frequencies: tuple[Frequency, ...] = ()
    temperatures_c: tuple[tuple[str, float], ...] = ()
    thermal_status: int | None = None

    @property
    def held_down(self) -> bool | None:
        """Return whether heat or a power setting holds the clock down; None if the device does not tell."""
        if self.thermal_status is None and not self.frequencies:
            return None
        return bool(self.thermal_status) or any(one.allowed_khz < one.possible_khz for one in self.frequencies)


@dataclass(frozen=True)
class DelegateUse:
    """What became of the delegate that was asked for; `asked` is "none" for the built-in kernels.

    `taken` is how much of the graph it runs: "all", "part" or "none". `partitions` are its nodes in the graph
    and `left` the operations outside them, None where the runner does not tell. `said` is what it did tell.
    """

    asked: str
    taken: str
    partitions: int | None = None
    left: int | None = None
    said: str = ""

    @property
    def fell_back(self) -> bool:
        """Return whether a delegate was asked for and took nothing."""
        return self.asked != "none" and self.taken == "none"

    @property
    def verdict(self) -> str:
        """Return what it means, in a few words."""
        if self.asked == "none":
            return "built-in kernels"
        if self.fell_back:
            return "fell back to CPU"
        if self.taken == "all":
            return f"{self.asked}: all"
        parts = "" if self.partitions is None else f" in {self.partitions} partitions"
        left = "" if self.left is None else f", {self.left} operations left"
        return f"{self.asked}: part{parts}{left}"


@dataclass(frozen=True)
class Measurement:
    """Latency and memory of one model on one device with one delegate and thread count.

    `rounds` are the samples of each process in milliseconds; every process loads the model anew and throws
    `warmup` runs away. `sample` says what one is (`SAMPLES`), `runs` how many runs a process makes. `p95_ms` is
    None where a tool does not tell it. `init_ms` and `first_run_ms` are medians over processes,
    `peak_memory_bytes` the largest growth of the resident high-water mark. `tolerance` is the half-width of
    the median's interval that was aimed at, as a fraction. `mask` pins the cores, in hexadecimal, or is empty.
    """

    model: str
    sha256: str
    size_bytes: int
    device: DeviceFacts
    runner: str
    delegate: DelegateUse
    threads: int
    mask: str
    warmup: int
    runs: int
    rounds: tuple[tuple[float, ...], ...]
    sample: str
    p95_ms: float | None
    init_ms: float
    first_run_ms: float
    peak_memory_bytes: int
    tolerance: float
    before: DeviceState
    after: DeviceState
    versions: tuple[tuple[str, str], ...]
    created: str

    @property
    def samples_ms(self) -> tuple[float, ...]:
        """Return all samples in the order taken."""
        return tuple(sample for samples in self.rounds for sample in samples)

    @property
    def median_ms(self) -> float:
        """Return the median."""
        return float(np.median(self.samples_ms))

    @property
    def interval_ms(self) -> tuple[float, float] | None:
        """Return the 95% confidence interval of the median; None if there are too few samples."""
        return median_interval(self.samples_ms)

    @property
    def tight(self) -> bool:
        """Return whether that interval is as narrow as was aimed at."""
        return is_tight(self.samples_ms, tolerance=self.tolerance)

    @property
    def held_down(self) -> bool | None:
        """Return whether the clock was held down before or after; None if the device does not tell."""
        told = [state.held_down for state in (self.before, self.after) if state.held_down is not None]
        return any(told) if told else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the derived ones too."""
        return {
            "schema": SCHEMA,
            **dataclasses.asdict(self),
            "versions": dict(self.versions),
            "median_ms": self.median_ms,
            "interval_ms": self.interval_ms,
            "tight": self.tight,
            "held_down": self.held_down,
            "verdict": self.delegate.verdict,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Measurement":
        """Read back what `to_dict` gives; derived values are derived again.

        Raises:
            ArtifactError: if it is not such a record.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ArtifactError(f"it is not a profile of mobile-seg ({SCHEMA})")
        fields = {field.name for field in dataclasses.fields(cls)}
        try:
            plain = {name: value[name] for name in fields}
            plain["device"] = DeviceFacts(**plain["device"])
            plain["delegate"] = DelegateUse(**plain["delegate"])
            plain["before"], plain["after"] = _state(plain["before"]), _state(plain["after"])
            plain["rounds"] = tuple(tuple(float(sample) for sample in samples) for samples in plain["rounds"])
            plain["versions"] = tuple(sorted(plain["versions"].items()))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ArtifactError(f"its profile is damaged ({type(error).__name__}: {error})") from error
        return cls(**plain)


def _state(value: dict[str, Any]) -> DeviceState:
    return DeviceState(
        tuple(Frequency(**one) for one in value["frequencies"]),
        tuple((str(name), float(degrees)) for name, degrees in value["temperatures_c"]),
        value["thermal_status"],
    )
