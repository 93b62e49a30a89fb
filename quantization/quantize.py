"""Quantize a float model in one call: rewrite, set the ranges from images, settle."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import INT8, Scheme, find
from mobile_seg.quantization.settle import settle


def quantize(
    model: keras.Model,
    images: Iterable[np.ndarray],
    *,
    scheme: str | Scheme = INT8,
    keep: Mapping[str, str] | None = None,
    ranges: str = "average",
    method: str = "average",
) -> keras.Model:
    """Return a quantization-aware copy of a float functional model, its ranges set from images.

    As it is returned it is post-training quantized and can be exported; train it like any Keras model to
    get back what rounding cost, then call `settle` before exporting it.

    Args:
        images: batches `[N, H, W, C]` as the model takes them; a few dozen images are enough.
        scheme: one of `mobile_seg.quantization.scheme.SCHEMES`.
        keep: layer name → `float` or `int16x8`, for layers that suffer most.
        ranges: how training goes on with the ranges: `average` follows the batches, `learned` by gradient.
        method: how ranges are chosen from the images; see `calibrate`.

    Raises:
        UsageError: for an unknown name, or a model that is quantized already.
        UnsupportedLayerError: for a layer that cannot run in integers, by name, with the way out.
    """
    scheme = find(scheme) if isinstance(scheme, str) else scheme
    quantized = insert_quantizers(model, scheme=scheme, keep=keep, ranges=ranges)
    if scheme.activation_bits is not None:
        calibrate(quantized, images, method=method)
    settle(quantized)
    return quantized
