"""The manifest: everything a program must know to feed a model and read its output.

It travels inside each artifact and beside it; no app and no command hard-codes what stands here.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from mobile_seg.errors import ArtifactError

FORMAT_VERSION = 1
MEMBER = "mobile_seg.json"
"""Name of the manifest inside an artifact that is a ZIP archive or carries one."""

OUTPUT_KINDS = ("logits", "logits-full", "labels", "labels-nearest")
AT_INPUT_SIZE = ("logits-full", "labels")
"""Those whose logits are resized to the input's size before anything else."""
LAYOUTS = ("nhwc", "nchw")


MAPPINGS = ("versions", "network", "kept")
"""Fields that are objects in JSON and sorted pairs in the record."""


@dataclass(frozen=True)
class InputSpec:
    """The image tensor, RGB: `[1, height, width, 3]`, or `[1, 3, height, width]` where `layout` is nchw.

    The image is stretched to `height` x `width` with bilinear interpolation (half-pixel centres).
    `dtype` image is Core ML's image input; uint8 takes the camera's bytes as they are, int8 the same minus 128.
    float32 takes `(byte - mean) / std` when `normalized_outside` is true, else the byte values 0..255 as floats.
    """

    height: int
    width: int
    dtype: str
    mean: float
    std: float
    normalized_outside: bool = False
    name: str = "image"
    resize: str = "stretch-bilinear"
    layout: str = "nhwc"


@dataclass(frozen=True)
class OutputSpec:
    """The segmentation tensor.

    `logits`: `[1, height, width, classes]` at the output stride, or `[1, classes, height, width]` where `layout` is
    nchw. `logits-full`: the same at input size. `labels` and `labels-nearest`: `[1, height, width]`, class ids at
    input size, of the resized logits or resized themselves. For integer logits the real value is
    `(q - zero_point) * scale`; argmax needs no dequantization.
    """

    kind: str
    height: int
    width: int
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    name: str = "segmentation"
    layout: str = "nhwc"

    @property
    def gives_labels(self) -> bool:
        """Whether it holds class ids rather than logits."""
        return self.kind.startswith("labels")


@dataclass(frozen=True)
class Manifest:
    """One artifact's description. `palette` is RGB, one row per class; `ignore` never appears in outputs.

    `network` holds the options that the network was built with, `kept` the layers quantized otherwise and how: what
    building it again at another size takes.
    """

    model: str
    precision: str
    input: InputSpec
    output: OutputSpec
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore: int = 255
    task: str = "semantic"
    producer: str = "mobile-seg"
    versions: tuple[tuple[str, str], ...] = ()
    network: tuple[tuple[str, Any], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if len(self.palette) != len(self.classes):
            raise ArtifactError(f"the manifest has {len(self.classes)} classes but {len(self.palette)} palette colours")
        if self.output.kind not in OUTPUT_KINDS:
            raise ArtifactError(f"manifest output kind {self.output.kind!r} is not one of {OUTPUT_KINDS}")
        for spec in (self.input, self.output):
            if spec.layout not in LAYOUTS:
                raise ArtifactError(f"manifest layout {spec.layout!r} is not one of {LAYOUTS}")

    def to_json(self) -> str:
        """Serialize; the same manifest always gives the same text."""
        value = dataclasses.asdict(self)
        for key in MAPPINGS:
            value[key] = dict(value[key])
        return json.dumps(value, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Parse and check.

        Raises:
            ArtifactError: if the text is not a manifest, or of a newer format.
        """
        try:
            value = json.loads(text)
            version = value.get("format_version")
            if version != FORMAT_VERSION:
                raise ArtifactError(
                    f"the manifest has format {version}, this mobile-seg reads {FORMAT_VERSION}; upgrade mobile-seg"
                )
            for key in MAPPINGS:
                value[key] = tuple((name, _hashable(one)) for name, one in sorted(value.get(key, {}).items()))
            value["classes"] = tuple(value["classes"])
            value["palette"] = tuple((int(r), int(g), int(b)) for r, g, b in value["palette"])
            value["input"] = _record(InputSpec, value["input"])
            value["output"] = _record(OutputSpec, value["output"])
            return _record(cls, value)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"the manifest cannot be read: {error}; export the model again") from error


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _record(kind: type, value: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{kind.__name__} is {type(value).__name__}, not an object")
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - known)
    if unknown:
        raise ArtifactError(f"the manifest has unknown keys {unknown}; it was written by another version")
    return kind(**value)
