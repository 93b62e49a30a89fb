"""Setting activation ranges from images: post-training quantization, and the start of training."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import UsageError, choose
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.settle import sync_ranges

METHODS = ("average", "minmax")


class _Extremes:
    """Collects one (min, max) per batch shown to it."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def __call__(self, x: Any) -> None:
        self.seen.append((float(ops.min(x)), float(ops.max(x))))

    def summary(self, method: str) -> tuple[float, float]:
        lows, highs = zip(*self.seen, strict=True)
        if method == "minmax":
            return min(lows), max(highs)
        return float(np.mean(lows)), float(np.mean(highs))


def calibrate(model: keras.Model, batches: Iterable[np.ndarray], *, method: str = "average") -> int:
    """Set every observed range of a quantization-aware model from images; return the number of images.

    Activations flow unquantized, weights quantized. `average` takes the mean over the batches of each
    batch's extremes, `minmax` the extremes over all.

    Args:
        batches: arrays `[N, H, W, 3]`, RGB 0..255, as the model's input.

    Raises:
        UsageError: for an unknown method, no batch, a model without quantizers, or one whose activations are
            no numbers.
    """
    choose("method", method, METHODS)
    quantizers = [layer for layer in model.layers if isinstance(layer, FakeQuant) and layer.observes]
    if not quantizers:
        raise UsageError(f"{model.name} has no quantizer to calibrate; pass it through insert_quantizers first.")
    followers = [layer for layer in model.layers if isinstance(layer, FakeQuant) and layer.follows]
    count = 0
    try:
        for quantizer in quantizers:
            quantizer.observer = _Extremes()
        for follower in followers:
            follower.enabled = False
        for batch in batches:
            model(ops.convert_to_tensor(batch, dtype="float32"), training=False)
            count += len(batch)
        if not count:
            raise UsageError("calibration got no image; give at least one batch.")
        ranges = [quantizer.observer.summary(method) for quantizer in quantizers]
        for quantizer, found in zip(quantizers, ranges, strict=True):
            if not np.isfinite(found).all():
                raise UsageError(
                    f"the input of {quantizer.name} is not finite on the calibration images; the model's weights are "
                    "broken, train it again with a lower learning rate"
                )
        for quantizer, found in zip(quantizers, ranges, strict=True):
            quantizer.set_range(*found)
        sync_ranges(model)
    finally:
        for quantizer in quantizers:
            quantizer.observer = None
        for follower in followers:
            follower.enabled = True
    return count
