"""Mistakes in a file's weights, found by holding its constants against the Keras model's folded kernels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from mobile_seg.graph import plain, view
from mobile_seg.verify.diagnosis.case import Case, Trial
from mobile_seg.verify.diagnosis.constants import Folded, folded_weights, normalization_behind

_CHANNELS_FIRST = {
    "conv": ((3, 2, 0, 1),),
    "depthwise": ((2, 3, 0, 1),),
    "transposed": ((3, 2, 0, 1),),
    "dense": ((1, 0), (0, 1)),
}

ORDERS: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {
    "tflite": {
        "conv": ((3, 0, 1, 2),),
        "depthwise": ((0, 1, 2, 3),),
        "transposed": ((2, 0, 1, 3),),
        "dense": ((1, 0),),
    },
    "onnx": _CHANNELS_FIRST,
    "coreml": _CHANNELS_FIRST,
}
"""Kind of file → kind of layer → the orders of axes in which its operations take a Keras kernel."""

TOLERANCES = {
    "float32": 1e-5,  # folding in another order
    "float16": 2.0**-10,  # half a unit of 11 bits, twice
    **dict.fromkeys(("int8", "int16x8", "w8"), 1.0 / 127.0),  # half a step of 127 to either side, twice
}
"""Precision → how far a weight in the file may lie from the model's, as a share of the largest; none for palettes."""

BIAS = 0.02
"""The same for biases, of the largest bias: there or not there is asked, not how exactly."""

ALONE = 16
"""So many suspects are tried one by one where all together do not explain the difference."""


def kernel_transposed(case: Case) -> Iterator[Trial]:
    """A kernel's values are all in the file, in an order that its operation does not expect."""
    suspects = []
    for weights, stored in _audited(case):
        found = _place_of(weights, stored, case)
        if found is None:
            values = _same_values(weights, stored, case)
            if values is not None:
                suspects.append((weights.layer, values))
    fix = "the kernel of {} is transposed: store it in the order that its operation takes ({})"
    order = "HWIO → " + {"tflite": "OHWI"}.get(case.candidate.kind, "OIHW")
    for chosen in _choices(suspects):
        model = _with_weights(case.model, kernels=dict(chosen))
        names = _named([name for name, _ in chosen])
        yield Trial(case.resized(case.outputs_of(model)), case.given, fix.format(names, order))


def bias_dropped(case: Case) -> Iterator[Trial]:
    """A kernel is in the file, but the bias that its layer adds (that of a folded normalization too) is not."""
    suspects = []
    for weights, stored in _audited(case):
        factor = _place_of(weights, stored, case)
        largest = float(np.abs(weights.bias).max())
        if factor is None or largest <= 1e-6:
            continue
        sized = [one.ravel() for one in case.constants.values() if one.size == weights.bias.size]
        # A factor of what follows is the bias's too; one of the image's scaling is the kernel's alone.
        if not any(
            np.abs(one - scale * weights.bias).max() <= BIAS * largest * scale
            for scale in (1.0, factor)
            for one in sized
        ):
            suspects.append((weights.layer, np.zeros_like(weights.bias)))
    for chosen in _choices(suspects):
        model = _with_weights(case.model, biases=dict(chosen))
        names = _named([name for name, _ in chosen])
        fix = f"the bias of {names} is not in the file: keep it, with the shift of a folded normalization"
        yield Trial(case.resized(case.outputs_of(model)), case.given, fix)


def _tolerance(case: Case) -> float:
    """0 where weights are not stored as they are."""
    return TOLERANCES.get(case.candidate.manifest.precision, 0.0)


def _audited(case: Case) -> Iterator[tuple[Folded, list[np.ndarray]]]:
    """Every linear layer of the model with the constants of its size, flat."""
    if case.model is None or not _tolerance(case) or case.candidate.kind not in ORDERS:
        return
    for weights in folded_weights(case.model):
        stored = [one.ravel() for one in case.constants.values() if one.size == weights.kernel.size]
        if stored and len(np.unique(weights.kernel)) > 3:
            yield weights, stored


def _place_of(weights: Folded, stored: list[np.ndarray], case: Case) -> float | None:
    """By which factor the kernel stands in the file, in an order that its operation takes; None if it does not.

    Factors are what a fusion's shares or the image's scaling put there. Channels in another order are other
    mistakes: an image's read backwards, classes that count from one.
    """
    for order in ORDERS[case.candidate.kind][weights.kind]:
        for kernel in (weights.kernel, *_reordered_channels(weights)):
            expected = kernel.transpose(order).ravel()
            for one in stored:
                factor = _factor(expected, one, _tolerance(case))
                if factor is not None:
                    return factor
    return None


def _same_values(weights: Folded, stored: list[np.ndarray], case: Case) -> np.ndarray | None:
    """The kernel that the file holds instead, in Keras' layout, if its values are this kernel's in another order."""
    expected = np.sort(weights.kernel.ravel())
    for one in stored:
        factor = _factor(expected, np.sort(one), _tolerance(case))
        if factor is not None:
            order = ORDERS[case.candidate.kind][weights.kind][0]
            laid_out = one.reshape([weights.kernel.shape[axis] for axis in order]) / factor
            return laid_out.transpose(np.argsort(order))
    return None


def _reordered_channels(weights: Folded) -> list[np.ndarray]:
    kernel = weights.kernel
    if weights.kind not in ("conv", "dense"):
        return [kernel[:, :, ::-1]] if weights.kind == "depthwise" and kernel.shape[2] == 3 else []
    image = [kernel[:, :, ::-1]] if kernel.ndim == 4 and kernel.shape[2] == 3 else []
    return [*image, *(np.roll(kernel, by, -1) for by in (1, -1))]


def _factor(expected: np.ndarray, stored: np.ndarray, tolerance: float) -> float | None:
    """The positive factor between two vectors, if they are equal but for it."""
    product = float(expected @ stored)
    if product <= 0.0:
        return None
    factor = product / float(expected @ expected)
    equal = float(np.abs(stored - factor * expected).max()) <= tolerance * float(np.abs(stored).max())
    return factor if equal else None


def _choices(suspects: list[tuple[str, np.ndarray]]) -> list[list[tuple[str, np.ndarray]]]:
    """All at once, then each alone."""
    if not suspects:
        return []
    return [suspects] if len(suspects) == 1 else [suspects, *([one] for one in suspects[:ALONE])]


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _with_weights(
    model: Any, *, kernels: dict[str, np.ndarray] | None = None, biases: dict[str, np.ndarray] | None = None
) -> Any:
    """A copy of the Keras model, with other folded kernels and biases in some layers."""
    kernels, biases = kernels or {}, biases or {}
    copy = plain(model)
    if copy is model:
        copy = model.__class__.from_config(model.get_config())
        copy.set_weights(model.get_weights())
    graph = view(copy)
    for weights in folded_weights(copy):
        if weights.layer in kernels or weights.layer in biases:
            kernel, bias = kernels.get(weights.layer, weights.kernel), biases.get(weights.layer, weights.bias)
            layer = graph.layers[weights.layer]
            _assign(layer, layer if hasattr(layer, "folded") else normalization_behind(graph, layer), kernel, bias)
    return copy


def _assign(layer: Any, normalization: Any | None, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Set a layer's folded weights; the normalization, inside the layer or behind it, becomes that bias alone."""
    layer.kernel.assign(kernel)
    if normalization is None or not hasattr(normalization, "moving_mean"):
        if layer.use_bias:
            layer.bias.assign(bias)
        return
    if layer.use_bias:
        layer.bias.assign(np.zeros_like(bias))
    normalization.moving_variance.assign(np.full(bias.shape, 1.0 - normalization.epsilon))
    normalization.moving_mean.assign(-bias)
    for name, value in (("gamma", 1.0), ("beta", 0.0)):
        if getattr(normalization, name, None) is not None:
            getattr(normalization, name).assign(np.full(bias.shape, value))
