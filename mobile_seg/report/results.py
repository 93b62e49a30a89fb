"""`results.json`: everything one run measured, under keys that stay.

Shares (mIoU, IoU, agreement) are fractions 0..1, times are as their names say, sizes are bytes.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg import files
from mobile_seg.errors import UsageError
from mobile_seg.report import checks

Latency = Mapping[str, Mapping[str, float]]
"""Milliseconds: `{"<threads>": {"pre": …, "infer": …, "post": …}}`."""


@dataclass(frozen=True)
class ArtifactResult:
    """One exported file. `agreement` is with the Keras model that it was made from."""

    file: str
    precision: str
    size_bytes: int
    partitions: int
    float_ops: int
    sha256: str
    miou: float | None = None
    agreement: float | None = None
    latency_ms: Latency | None = None
    latency_p95_ms: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON value; what was not measured for this file has no key."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    def check(self, where: str) -> None:
        """Check every value; `where` is the key of this artifact in the record."""
        for key in ("file", "precision", "sha256"):
            checks.text(f"{where}.{key}", getattr(self, key))
        checks.count(f"{where}.size_bytes", self.size_bytes, above=0)
        checks.count(f"{where}.partitions", self.partitions)
        checks.count(f"{where}.float_ops", self.float_ops)
        for key in ("miou", "agreement"):
            if getattr(self, key) is not None:
                checks.fraction(f"{where}.{key}", getattr(self, key))
        if self.latency_ms is not None:
            checks.latency(f"{where}.latency_ms", self.latency_ms)
        if self.latency_p95_ms is not None:
            checks.p95(f"{where}.latency_p95_ms", self.latency_p95_ms, self.latency_ms or {})


@dataclass(frozen=True)
class Results:
    """The record of one run. `latency_ms`, `partitions`, `size_bytes` and `float_ops` are the int8 artifact's.

    `latency_ms` holds medians and `latency_p95_ms` 95th percentiles, in milliseconds, per thread count
    (as text) and stage. `psnr_db` compares the int8 artifact's logits with the QAT model's; null if
    nothing differs, or if it gives class ids, which have none.
    `history` rows are `step, loss, lr` and, where it was evaluated, `miou`. `created` is ISO 8601.

    Raises:
        ProfileError: for a measurement that is missing, NaN or an impossible 0, by its key.
        UsageError: for an unknown key or a value that cannot be.
    """

    model: str
    data: str
    miou: Mapping[str, float]
    agreement: Mapping[str, float]
    latency_ms: Latency
    partitions: int
    size_bytes: int
    float_ops: int
    run: str
    created: str
    command: str
    wall_seconds: Mapping[str, float]
    input_size: tuple[int, int]
    output_stride: int
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    per_class_iou: Mapping[str, list[float | None]]
    psnr_db: float | None
    artifacts: tuple[ArtifactResult, ...]
    params: int
    macs: int
    peak_memory_bytes: int
    latency_p95_ms: Latency
    history: Mapping[str, list[Mapping[str, float]]]
    versions: Mapping[str, str]
    host: Mapping[str, Any]
    recipe: Mapping[str, Any]

    def __post_init__(self) -> None:
        for key in ("model", "data", "run", "created", "command"):
            checks.text(key, getattr(self, key))
        for key in ("input_size", "classes", "palette", "artifacts"):
            object.__setattr__(self, key, tuple(checks.items(key, getattr(self, key))))
        object.__setattr__(self, "palette", tuple(tuple(checks.items("palette", row)) for row in self.palette))
        self._check_accuracy()
        self._check_costs()
        self._check_origin()

    def _check_accuracy(self) -> None:
        if not self.classes:
            raise checks.missing("classes")
        for index, name in enumerate(self.classes):
            checks.text(f"classes.{index}", name)
        checks.palette("palette", self.palette, len(self.classes))
        checks.keys("miou", self.miou, required=checks.PHASES)
        checks.each("miou", self.miou, checks.fraction)
        checks.keys("agreement", self.agreement, required=("int8_vs_qat", "int8_vs_float"))
        checks.each("agreement", self.agreement, checks.fraction)
        checks.keys("per_class_iou", self.per_class_iou, required=checks.PHASES)
        for phase, ious in self.per_class_iou.items():
            checks.ious(f"per_class_iou.{phase}", ious, len(self.classes))
        if self.psnr_db is not None:
            checks.number("psnr_db", self.psnr_db, low=-1000.0)

    def _check_costs(self) -> None:
        checks.latency("latency_ms", self.latency_ms)
        checks.p95("latency_p95_ms", self.latency_p95_ms, self.latency_ms)
        for key in ("partitions", "float_ops"):
            checks.count(key, getattr(self, key))
        for key in ("size_bytes", "output_stride", "params", "macs", "peak_memory_bytes"):
            checks.count(key, getattr(self, key), above=0)
        if not self.artifacts:
            raise checks.missing("artifacts")
        for index, artifact in enumerate(self.artifacts):
            artifact.check(f"artifacts.{index}")

    def _check_origin(self) -> None:
        if len(self.input_size) != 2:
            raise UsageError(f"results: input_size is {self.input_size}; give height and width")
        for side in self.input_size:
            checks.count("input_size", side, above=0)
        phases = ("float_training", "qat_training", "export", "verify")
        checks.keys("wall_seconds", self.wall_seconds, required=phases, optional=list(self.wall_seconds))
        checks.each("wall_seconds", self.wall_seconds, checks.number)
        for name in self.wall_seconds:
            if not name.isidentifier():
                raise UsageError(f"results: wall_seconds has the key {name!r}; name the part like_this")
        checks.keys("history", self.history, required=("float", "qat"))
        checks.each("history", self.history, checks.curve)
        checks.keys("host", self.host, required=("cpu", "cores", "os"))
        checks.text("host.cpu", self.host["cpu"])
        checks.text("host.os", self.host["os"])
        checks.count("host.cores", self.host["cores"], above=0)
        if not self.versions:
            raise checks.missing("versions")
        checks.each("versions", self.versions, checks.text)
        try:
            json.dumps(self.recipe, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(f"results: recipe cannot be written as JSON: {error}; give plain values") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON value, keys in the order above."""
        value = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        value["artifacts"] = [artifact.to_dict() for artifact in self.artifacts]
        return dict(json.loads(json.dumps(value, allow_nan=False)))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Results":
        """Build the record from a JSON value.

        Raises:
            ProfileError: for a missing key.
            UsageError: for an unknown key or a value that cannot be.
        """
        checks.keys("", value, required=[field.name for field in dataclasses.fields(cls)], nullable="psnr_db")
        rows = checks.items("artifacts", value["artifacts"])
        artifacts = tuple(_artifact(f"artifacts.{index}", row) for index, row in enumerate(rows))
        return cls(**{**value, "artifacts": artifacts})

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the record as JSON, whole or not at all. Raises `DiskError`."""
        return files.write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Results":
        """Read a record.

        Raises:
            UsageError: if there is no such file or it is not JSON; else as `from_dict`.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read {path}: {error}; write it with `mobile-seg run`") from error


def _artifact(where: str, row: Mapping[str, Any]) -> ArtifactResult:
    fields = dataclasses.fields(ArtifactResult)
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    optional = [field.name for field in fields if field.default is not dataclasses.MISSING]
    checks.keys(where, row, required=required, optional=optional)
    return ArtifactResult(**row)
