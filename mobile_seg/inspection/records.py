"""What looking into a model file returns."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mobile_seg.errors import ArtifactError
from mobile_seg.manifest import Manifest

DEEPEST = 32
"""Values inside values that are shown."""


@dataclass(frozen=True)
class Tensor:
    """An input or output. In `shape` a size that is free is -1, or a name where it has one.

    `scale` and `zero_point` are None unless the tensor holds integers on one grid.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Layer:
    """An operation with the weights that it is the first to read; `shape` and `dtype` are of the largest of them."""

    name: str
    operation: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True)
class Quantization:
    """How a file computes: `precision` in words, and its quantized tensors by the number of their scales."""

    precision: str
    per_tensor: int
    per_channel: int


@dataclass(frozen=True)
class Verdict:
    """What a program that would run the file says of it, asked in a process of its own; `reason` if it refuses."""

    program: str
    accepted: bool
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """A model file.

    `runtime` says what it needs to run. `operations` are (name, count), most frequent first; `layers` largest first.
    `metadata` is whatever the format has for that, `files` what travels inside besides the graph, as (name, bytes).
    `reads` are notes on who reads it rightly. `verdicts` is empty where nobody was asked.
    """

    path: str
    format: str
    size_bytes: int
    runtime: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    quantization: Quantization
    operations: tuple[tuple[str, int], ...]
    layers: tuple[Layer, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[tuple[str, int], ...] = ()
    manifest: Manifest | None = None
    reads: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; pairs become mappings."""
        value = dataclasses.asdict(dataclasses.replace(self, metadata={}))
        value |= {"operations": dict(self.operations), "files": dict(self.files), "metadata": self.metadata}
        if self.manifest is not None:
            value["manifest"] = json.loads(self.manifest.to_json())
        made: dict[str, Any] = plain(value)
        return made


def most_frequent(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """(name, count), most frequent first and then by name."""
    return tuple(sorted(Counter(names).items(), key=lambda pair: (-pair[1], pair[0])))


def plain(value: Any, *, depth: int = 0) -> Any:
    """Nested values as JSON has them: arrays as lists, bytes as how many, a union as {type: value}, NaN as text.

    What lies deeper than `DEEPEST` is left out: texts in files may nest without end.
    """
    deeper = depth + 1
    if deeper > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): plain(one, depth=deeper) for key, one in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping):
        return {value[0]: plain(value[1], depth=deeper)}
    if isinstance(value, (list, tuple)):
        return [plain(one, depth=deeper) for one in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if hasattr(value, "tolist"):
        return plain(value.tolist(), depth=deeper)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def damaged(path: object, reason: object) -> ArtifactError:
    """The one line for a file that is not what its suffix says."""
    said = " ".join(str(reason).split()).rstrip(".")
    return ArtifactError(f"{path} cannot be read: {said}; it is cut short, damaged, or of another format")
