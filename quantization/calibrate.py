"""Setting activation ranges from images: post-training quantization, and the start of training."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import UsageError, choose
from mobile_seg.quantization.arithmetic import BY_STEPS
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.observers import DECAY, Average, Histogram, LeastError, MinMax, Observer, Percentile
from mobile_seg.quantization.settle import settling_layers, sync_ranges, unsettle

PERCENTILE = 99.99

_OBSERVERS: dict[str, Callable[[FakeQuant, float], Observer]] = {
    "average": lambda quantizer, percentile: Average(),
    "minmax": lambda quantizer, percentile: MinMax(),
    "moving-average": lambda quantizer, percentile: Average(DECAY),
    "percentile": lambda quantizer, percentile: Percentile(percentile),
    "mse": lambda quantizer, percentile: LeastError(quantizer.bits),
}
METHODS = tuple(_OBSERVERS)


def calibrate(
    model: keras.Model, batches: Iterable[np.ndarray], *, method: str = "average", percentile: float = PERCENTILE
) -> int:
    """Set every observed range of a quantization-aware model from images; return the number of images.

    Activations flow unquantized, weights quantized, each batch once. `average` takes the mean over the
    batches of each batch's extremes, `moving-average` one that forgets a tenth at each batch, `minmax` the
    extremes over all. `percentile` leaves the outermost values out and `mse` takes the range of least
    squared error; both see all batches as one, in a histogram for each quantizer (see `observers`).

    Args:
        batches: arrays `[N, H, W, 3]`, RGB 0..255, as the model's input.
        percentile: what `percentile` keeps below the upper end, and above the lower one, in per cent.

    Raises:
        UsageError: for an unknown method, no batch, a model without quantizers, or one whose activations are
            no numbers.
    """
    choose("method", method, METHODS)
    if not 50 < percentile <= 100:
        raise UsageError(f"percentile={percentile} is out of range: above 50, up to 100.")
    quantizers = [layer for layer in model.layers if isinstance(layer, FakeQuant) and layer.observes]
    if not quantizers:
        raise UsageError(f"{model.name} has no quantizer to calibrate; pass it through insert_quantizers first.")
    observers = [_OBSERVERS[method](quantizer, percentile) for quantizer in quantizers]
    count = _show(model, batches, dict(zip(quantizers, observers, strict=True)))
    if not count:
        raise UsageError("calibration got no image; give at least one batch.")
    ranges = [observer.range() for observer in observers]
    for quantizer, found in zip(quantizers, ranges, strict=True):
        if not np.isfinite(found).all():
            raise UsageError(
                f"the input of {quantizer.name} is not finite on the calibration images; the model's weights are "
                "broken, train it again with a lower learning rate"
            )
    for quantizer, found in zip(quantizers, ranges, strict=True):
        quantizer.set_range(*found)
    sync_ranges(model)
    return count


def _show(model: keras.Model, batches: Iterable[np.ndarray], observers: dict[FakeQuant, Any]) -> int:
    """Tell the observers of each batch on its way through the model; return the number of images."""
    choosing = settling_layers(model)
    quantizers = [layer for layer in model.layers if isinstance(layer, FakeQuant) and (layer.observes or layer.follows)]
    unsettle(model)
    for layer in choosing:
        layer.hold_floats()
    for quantizer in quantizers:
        quantizer.enabled = False
    try:
        if all(isinstance(observer, Histogram) for observer in observers.values()):
            return _count(model, batches, observers)
        return _take(model, batches, observers)
    finally:
        for layer in choosing:
            layer.computes = BY_STEPS
        for quantizer in quantizers:
            quantizer.observer, quantizer.enabled = None, True


def _count(model: keras.Model, batches: Iterable[np.ndarray], observers: dict[FakeQuant, Histogram]) -> int:
    """Show every value, layer by layer."""
    count = 0
    for quantizer, observer in observers.items():
        quantizer.observer = observer
    for batch in batches:
        model(ops.convert_to_tensor(batch, dtype="float32"), training=False)
        count += len(batch)
    return count


def _take(model: keras.Model, batches: Iterable[np.ndarray], observers: dict[FakeQuant, Any]) -> int:
    """Tell of the extremes, which one compiled function finds: twice as fast."""
    extremes = [ops.stack([ops.min(one.input), ops.max(one.input)]) for one in observers]
    finding = keras.Model(model.inputs, ops.stack(extremes))
    count, usual = 0, 0
    for batch in batches:
        usual = usual or len(batch)
        # A smaller last batch would be compiled for; images shown twice change no extreme.
        shown = np.resize(batch, (usual, *batch.shape[1:])) if len(batch) < usual else batch
        for observer, (low, high) in zip(observers.values(), finding.predict_on_batch(shown), strict=True):
            observer.take(float(low), float(high))
        count += len(batch)
    return count
