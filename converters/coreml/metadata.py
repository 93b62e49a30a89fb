"""What a package says of itself: in Xcode, to Vision, and to us."""

import json
from typing import Any

from mobile_seg.manifest import MEMBER, Manifest

_DATES = ("com.github.apple.coremltools.conversion_date",)
"""What coremltools adds that differs from day to day."""

ABOUT = {
    "float32": "float32",
    "float16": "float16",
    "int8": "int8 weights and activations",
    "w8": "int8 weights, float16 activations",
    "palette8": "8-bit palettized weights, float16 activations",
    "palette6": "6-bit palettized weights, float16 activations",
    "palette4": "4-bit palettized weights, float16 activations",
}
"""Each precision, plainly."""


def describe(specification: Any, manifest: Manifest, *, target: str) -> None:
    """Write a manifest into the specification's metadata.

    Xcode shows the descriptions and, by `com.apple.coreml.model.preview.*`, a live preview with labels and colours.
    The whole manifest stands under its usual name, classes and palette under `classes` and `colors` as well.
    """
    description = specification.description
    metadata = description.metadata
    given, made = manifest.input, manifest.output
    metadata.shortDescription = (
        f"Semantic segmentation into {len(manifest.classes)} classes: {manifest.model}, {ABOUT[manifest.precision]}"
    )
    metadata.author = manifest.producer
    metadata.versionString = dict(manifest.versions).get(manifest.producer, "")
    description.input[
        0
    ].shortDescription = f"RGB image of {given.width} x {given.height} pixels; normalized inside the model"
    values = "class ids, " if made.gives_labels else f"logits of {len(manifest.classes)} classes, "
    shape = "[1, height, width]" if made.gives_labels else "[1, height, width, classes]"
    description.output[0].shortDescription = f"{values}{made.height} x {made.width} (height x width), {shape}"
    colours = [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in manifest.palette]
    preview = {"labels": list(manifest.classes), "colors": colours}
    own = metadata.userDefined
    for name in _DATES:
        own.pop(name, None)
    own["com.apple.coreml.model.preview.type"] = "imageSegmenter"
    own["com.apple.coreml.model.preview.parameters"] = json.dumps(preview)
    own["classes"] = json.dumps(list(manifest.classes))
    own["colors"] = json.dumps(colours)
    own["minimum_deployment_target"] = target
    own[MEMBER] = manifest.to_json()
