"""Quantize a float model in one call: rewrite, set the ranges from images, settle."""

import itertools
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from mobile_seg.errors import UsageError
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.correct import correct_biases, first_batches
from mobile_seg.quantization.equalize import equalize_layers
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
    equalize: bool = False,
    correct_bias: bool = False,
) -> keras.Model:
    """Return a quantization-aware copy of a float functional model, its ranges set from images.

    As it is returned it is post-training quantized and can be exported; train it like any Keras model to
    get back what rounding cost, then call `settle` before exporting it.

    Args:
        images: batches `[N, H, W, C]` as the model takes them; a few dozen images are enough. Read once.
        scheme: one of `mobile_seg.quantization.scheme.SCHEMES`.
        keep: layer name → `float` or `int16x8`, for layers that suffer most.
        ranges: how training goes on with the ranges: `average` follows the batches, `learned` by gradient.
        method: how ranges are chosen from the images; see `calibrate`.
        equalize: scale channels of neighbouring layers to one size first; see `equalize_layers`, which also
            tells what it did and what it had to skip.
        correct_bias: take off the mean shift that rounding the weights causes; see `correct_biases`.

    Raises:
        UsageError: for an unknown name, a model that is quantized already, or an option that finds nothing to do.
        UnsupportedLayerError: for a layer that cannot run in integers, by name, with the way out.
    """
    scheme = find(scheme) if isinstance(scheme, str) else scheme
    quantized = insert_quantizers(model, scheme=scheme, keep=keep, ranges=ranges)
    if equalize:
        _equalize(quantized)
    batches = iter(images)
    first = first_batches(batches) if correct_bias else []
    if scheme.activation_bits is not None:
        calibrate(quantized, itertools.chain(first, batches), method=method)
    if correct_bias and not any(correction.corrected for correction in correct_biases(quantized, first)):
        raise UsageError(f"{model.name} has no rounded layer with a bias to correct; leave correct_bias out.")
    settle(quantized)
    return quantized


def _equalize(quantized: keras.Model) -> None:
    done = equalize_layers(quantized)
    if done.pairs:
        return
    why = f": {done.skipped[0].first} was skipped since {done.skipped[0].reason}" if done.skipped else ""
    raise UsageError(f"{quantized.name} has no two layers to equalize{why}; leave equalize out.")
