"""Whether MediaPipe's ImageSegmenter (1.2) reads a TFLite file rightly, from what it was seen to do with many.

A rule is one function whose docstring is the rule; the first that a file breaks is what a user is told.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mobile_seg.inspection.records import Tensor


class Facts(NamedTuple):
    """The one input and output, and the input's normalization units in the TFLite metadata."""

    given: Tensor
    made: Tensor
    normalization: tuple[Mapping[str, Any], ...]
    colours: str


def image_is_nhwc(facts: Facts) -> bool:
    """It takes one image at a time as [1, height, width, 3]."""
    shape = facts.given.shape
    return len(shape) == 4 and shape[0] == 1 and shape[3] == 3


def image_is_bytes_or_floats(facts: Facts) -> bool:
    """It feeds uint8 or float32 and refuses int8 inputs: export io=uint8 for it."""
    return facts.given.dtype in ("uint8", "float32")


def floats_have_normalization(facts: Facts) -> bool:
    """A float32 input needs NormalizationOptions in the TFLite metadata."""
    return facts.given.dtype != "float32" or bool(facts.normalization)


def normalization_is_one_number(facts: Facts) -> bool:
    """It refuses a mean or std that differs between channels: fold the normalization into the graph."""
    return all(len(set(map(float, unit.get(k, ())))) <= 1 for unit in facts.normalization for k in ("mean", "std"))


def colours_are_rgb(facts: Facts) -> bool:
    """It feeds RGB only."""
    return facts.colours in ("", "RGB")


def output_is_logits(facts: Facts) -> bool:
    """MediaPipe ImageSegmenter reads logits only and misreads class ids: export output=logits for it."""
    shape, dtype = facts.made.shape, facts.made.dtype
    return len(shape) == 4 and dtype in ("float32", "int8", "uint8") and (shape[3] != 1 or dtype == "float32")


RULES = (
    image_is_nhwc,
    image_is_bytes_or_floats,
    floats_have_normalization,
    normalization_is_one_number,
    colours_are_rgb,
    output_is_logits,
)


def reads(inputs: Sequence[Tensor], outputs: Sequence[Tensor], metadata: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A line on MediaPipe for a file with one input and one output that looks like an image's; else none."""
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or len(outputs[0].shape) not in (3, 4):
        return ()
    if len(outputs[0].shape) == 4 and outputs[0].shape[1:3] == (1, 1):
        return ()  # a classifier that keeps its axes
    facts = Facts(inputs[0], outputs[0], *_of_image(metadata or {}))
    broken = next((rule for rule in RULES if not rule(facts)), None)
    if broken is not None:
        sentence = " ".join((broken.__doc__ or "").split())
        prefix = "" if sentence.startswith("MediaPipe") else "not for MediaPipe ImageSegmenter: "
        return (prefix + sentence,)
    low = outputs[0].shape[1:3] != inputs[0].shape[1:3]
    edges = "; it enlarges logits with aligned corners, so edges lie up to half a cell of the output elsewhere"
    return (f"MediaPipe ImageSegmenter reads it{edges if low else ''}",)


def _of_image(metadata: Mapping[str, Any]) -> tuple[tuple[Mapping[str, Any], ...], str]:
    for graph in metadata.get("subgraph_metadata", ()):
        for tensor in graph.get("input_tensor_metadata", ()):
            units = tuple(unit["options"] for unit in tensor.get("process_units", ()) if "options" in unit)
            properties = tensor.get("content", {}).get("content_properties", ("", {}))[1]
            normalization = tuple(value for name, value in units if name == "NormalizationOptions")
            return normalization, properties.get("color_space", "")
    return (), ""
