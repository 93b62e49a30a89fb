"""A trained network at another input size: built anew, with the same weights."""

import dataclasses
from typing import Any

from mobile_seg.errors import UsageError
from mobile_seg.manifest import Manifest
from mobile_seg.models.registry import build, names


def at_size(model: Any, manifest: Manifest, input_size: tuple[int, int]) -> tuple[Any, Manifest]:
    """Return a network of the zoo, float or quantized, for images of `input_size`, and its manifest.

    A quantized network keeps its ranges.

    Raises:
        UsageError: if it is not of the zoo, cannot take that size, or has other layers at that size.
    """
    from mobile_seg.quantization.rewrite import insert_quantizers, is_quantized
    from mobile_seg.quantization.scheme import find
    from mobile_seg.quantization.settle import settle
    from mobile_seg.quantizing import scheme_of

    if manifest.model not in names():
        raise UsageError(
            f"{manifest.model} is no network of ours and cannot be built at another size; leave out --input."
        )
    made = build(manifest.model, input_size=input_size, classes=len(manifest.classes), **dict(manifest.network))
    if is_quantized(model):
        made = insert_quantizers(made, scheme=find(scheme_of(manifest)), keep=dict(manifest.kept))
    _copy_weights(model, made, input_size)
    if is_quantized(model):
        settle(made)
    height, width = input_size
    rows, columns = made.output_shape[1:3]
    given = dataclasses.replace(manifest.input, height=height, width=width)
    output = dataclasses.replace(manifest.output, height=rows, width=columns)
    return made, dataclasses.replace(manifest, input=given, output=output)


def _copy_weights(source: Any, target: Any, size: tuple[int, int]) -> None:
    """Layer by layer, by name; what `settle` sets anew may be missing."""
    held = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        weights = [weight for weight in layer.weights if weight.name != "steps"]
        own = [weight for weight in held[layer.name].weights if weight.name != "steps"] if layer.name in held else []
        if [weight.shape for weight in weights] != [weight.shape for weight in own]:
            raise UsageError(
                f"at {size[0]}x{size[1]} {target.name} has a layer {layer.name} that the trained one has not or has "
                "otherwise; train it at that size."
            )
        for weight, value in zip(weights, own, strict=True):
            weight.assign(value)
