"""Cross-layer equalization: channels of neighbouring layers scaled to one size, the function kept as it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from mobile_seg.graph import GraphView, view
from mobile_seg.layers import Resize
from mobile_seg.quantization.arithmetic import QuantMean, QuantResize
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.linear_layers import QuantConv2D, QuantConv2DTranspose, QuantDense, QuantDepthwiseConv2D
from mobile_seg.quantization.settle import unsettle

ROUNDS = 100
"""Most sweeps over all pairs; a sweep undoes part of the one before where a layer is in two pairs."""

CONVERGED = 0.01
"""Sweeps end when the last one changed no channel by more than this share."""

INPUT_AXES: dict[type, int] = {QuantConv2D: -2, QuantDepthwiseConv2D: -2, QuantConv2DTranspose: -1, QuantDense: -2}
"""Where a layer's kernel has its input channels."""

HOMOGENEOUS_LAYERS = (
    layers.AveragePooling2D,
    layers.Dropout,
    layers.MaxPooling2D,
    layers.SpatialDropout2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    Resize,
    QuantMean,
    QuantResize,
)
"""Layers that keep channels apart, and of which f(s·x) = s·f(x) for every s > 0."""


@dataclass(frozen=True)
class Pair:
    """Two layers that were equalized: the first's output channels were divided by `scales`, `[C]`."""

    first: str
    second: str
    scales: np.ndarray


@dataclass(frozen=True)
class Skipped:
    """A layer whose output channels could not be scaled, and why not."""

    first: str
    reason: str


@dataclass(frozen=True)
class Equalization:
    """What was done: every linear layer of the model is the first of a pair, or skipped."""

    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]


def equalize_layers(model: keras.Model) -> Equalization:
    """Equalize the layers of a quantization-aware model in place (arXiv:1906.04721, sec. 4.1).

    A channel's weights at the output of one layer and at the input of the next are brought to one range:
    the first divided by s, the second multiplied, s = sqrt(r1 / r2) (eq. 11). Between the two may be what
    passes a factor on: ReLU without an upper limit, pooling, padding, resizing. Depthwise layers in
    between are the second of one pair and the first of another; pairs are visited until nothing moves.
    ReLU6 is not replaced, since that would be another function.

    The model computes the same as before but for rounding; activation ranges are stale: calibrate again.
    It pays where one weight scale serves a whole layer (`int8-per-tensor`). With a scale for each channel
    the first layer of a pair has nothing to gain, and the second may lose.
    """
    unsettle(model)
    graph = view(model)
    found = [(name, *_next_linear(graph, name)) for name in graph.order if isinstance(graph.layers[name], QuantLinear)]
    scales = {(first, second): np.ones(_channels(graph.layers[first])) for first, second, _ in found if second}
    for _ in range(ROUNDS):
        moved = 0.0
        for (first, second), total in scales.items():
            factors = _equalize(graph.layers[first], graph.layers[second])
            total *= factors
            moved = max(moved, float(np.abs(np.log(factors)).max()))
        if moved < CONVERGED:
            break
    return Equalization(
        tuple(Pair(first, second, total) for (first, second), total in scales.items()),
        tuple(Skipped(first, reason) for first, second, reason in found if not second),
    )


def _channels(layer: Any) -> int:
    return int(np.prod([layer.kernel.shape[axis] for axis in layer.channel_axes]))


def _next_linear(graph: GraphView, first: str) -> tuple[str, str]:
    """The one linear layer that a layer's channels reach unmixed, or "" and why there is none."""
    inner = graph.layers[first].activation.__name__
    if inner not in ("linear", "relu"):
        return "", f"its activation {inner} does not pass a factor on"
    name = first
    while (reader := graph.only_consumer(name)) is not None:
        layer, name = graph.layers[reader], reader
        if isinstance(layer, QuantLinear):
            return name, ""
        if not _passes_factors(layer):
            return "", f"{name} ({_kind(layer)}) does not pass a factor on channel by channel"
    if name in graph.outputs:
        return "", "its output leaves the model"
    readers = graph.consumers[name]
    return "", f"its output has {len(readers)} readers ({', '.join(readers)})"


def _passes_factors(layer: Any) -> bool:
    """Whether channels stay apart and f(s·x) = s·f(x) for every s > 0."""
    if isinstance(layer, FakeQuant):
        return layer.fixed_range is None
    if type(layer) is layers.ReLU:
        return layer.max_value is None and layer.threshold == 0
    if type(layer) is layers.Activation:
        return layer.activation.__name__ in ("linear", "relu")
    return type(layer) in HOMOGENEOUS_LAYERS


def _kind(layer: Any) -> str:
    if type(layer) is layers.Activation:
        return str(layer.activation.__name__)
    limit = getattr(layer, "max_value", None)
    return type(layer).__name__ if limit is None else f"{type(layer).__name__} up to {limit:g}"


def _equalize(first: Any, second: Any) -> np.ndarray:
    """Bring both to one range per channel; return what the first was divided by. A dead channel stays as it is."""
    axis = INPUT_AXES[type(second)]
    rank = len(second.kernel.shape)
    ranges = _largest(first, first.channel_axes), _largest(second, (axis,))
    alive = (ranges[0] > 0) & (ranges[1] > 0)
    factors = np.ones(len(alive))
    factors[alive] = np.sqrt(ranges[0][alive] / ranges[1][alive])
    for variable in _output_scale(first):
        shaped = ops.reshape(factors, variable.shape) if len(variable.shape) == 1 else first._per_channel(factors)
        variable.assign(variable / ops.cast(shaped, variable.dtype))
    shape = [1] * rank
    shape[axis] = len(factors)
    second.kernel.assign(second.kernel * ops.cast(factors.reshape(shape), second.kernel.dtype))
    return factors


def _largest(layer: Any, axes: tuple[int, ...]) -> np.ndarray:
    """The largest magnitude of the folded kernel per index of these axes, `[C]`."""
    kernel = np.abs(np.asarray(ops.convert_to_numpy(layer.folded()[0]), np.float64))
    rank = kernel.ndim
    return kernel.max(tuple(axis for axis in range(rank) if axis - rank not in axes)).reshape(-1)


def _output_scale(layer: Any) -> Iterator[Any]:
    """The variables that a layer's output is proportional to, taken together."""
    if layer.batch_norm:
        yield from (layer.gamma, layer.beta)
    else:
        yield layer.kernel
        if layer.use_bias:
            yield layer.bias
