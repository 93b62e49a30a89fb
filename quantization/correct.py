"""Bias correction: the mean shift that rounding the weights causes, taken off each layer's bias."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import UsageError
from mobile_seg.graph import call, view
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.settle import unsettle

VALUES = 2**23
"""Numbers in the images that are looked at: 55 images of 224 x 224, 16 of 360 x 480. All stay in memory at once."""


@dataclass(frozen=True)
class Correction:
    """The shift that rounding a layer's weights causes, `[C]`; left as it is where the layer has no bias."""

    layer: str
    shift: np.ndarray
    corrected: bool


def correct_biases(model: keras.Model, batches: Iterable[np.ndarray]) -> tuple[Correction, ...]:
    """Correct a calibrated quantization-aware model's biases in place (arXiv:1906.04721, sec. 4.2).

    The shift is measured: E[Wq x] - E[W x] over images and positions, for x as it is once all layers
    before are corrected. The images go through the model once, all of them a layer at a time; since the
    layer is linear, the shift is that of the mean image of its input, one image more per layer. Layers whose
    weights are not rounded are not in the answer. Call `settle` afterwards.

    Args:
        batches: arrays `[N, H, W, C]` as the model takes them; the first ones are used, see `first_batches`.

    Raises:
        UsageError: without an image.
    """
    unsettle(model)
    graph = view(model)
    shown = [ops.convert_to_tensor(batch, dtype="float32") for batch in first_batches(batches)]
    if not shown:
        raise UsageError("bias correction got no image; give at least one batch.")
    found: list[Correction] = []
    values: dict[str, list[Any]] = {}
    unread = {name: len(readers) for name, readers in graph.consumers.items()}
    for name in graph.order:
        layer, sources = graph.layers[name], graph.inputs[name]
        if isinstance(layer, keras.layers.InputLayer):
            values[name] = shown
            continue
        if isinstance(layer, QuantLinear) and layer.weights_grid != "float32":
            found.append(_correct(layer, values[sources[0]]))
        values[name] = [call(layer, *inputs) for inputs in zip(*(values[source] for source in sources), strict=True)]
        for source in sources:
            unread[source] -= 1
            if not unread[source]:
                del values[source]
    return tuple(found)


def first_batches(batches: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The first whole batches that together hold `VALUES` numbers, or all; an iterator is read no further."""
    kept: list[np.ndarray] = []
    for batch in batches:
        kept.append(batch)
        if sum(one.size for one in kept) >= VALUES:
            break
    return kept


def _correct(layer: Any, inputs: list[Any]) -> Correction:
    images = sum(int(x.shape[0]) for x in inputs)
    mean = sum(ops.sum(x, axis=0, keepdims=True) for x in inputs) / images
    (kernel, bias), (rounded, _) = layer.folded(), layer.quantized()
    moved = ops.convert_to_numpy(layer.linear(mean, rounded - kernel))
    shift = moved.astype(np.float64).mean(tuple(range(moved.ndim - 1)))
    if bias is not None:
        target = layer.beta if layer.batch_norm else layer.bias
        target.assign(ops.convert_to_numpy(target) - shift.astype(np.float32))
    return Correction(layer.name, shift, bias is not None)
