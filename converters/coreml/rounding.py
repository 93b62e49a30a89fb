"""Weights in half precision, rounded so that the sums they make err least (GPTQ, arXiv:2210.17323, algorithm 1).

The nearest half-precision value of each weight is not the best one for all together: neighbours are alike, so that
errors of one sign add up. The first, narrow layers matter most, since every later one passes their errors on.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

SMALL = 1024
"""Kernels of at most so many values are rounded together; the others' errors are small beside theirs."""

SAMPLES = 4096
"""Positions of an image that a layer's inputs are taken from, at most."""

HIGHEST = float(np.finfo(np.float16).max)

DAMPING = 1e-7
"""Added to the inputs' second moments, as a share of their mean: what is never seen would weigh nothing."""


def round_together(graph: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Give the small convolutions of a plain graph kernels and biases that half precision holds, in place.

    Args:
        graph: without batch normalization; what a layer that is not rounded here holds is left alone.
        batches: images `[N, H, W, 3]` as the graph takes them.
    """
    chosen = [layer for layer in graph.layers if _is_small(layer)]
    if not chosen:
        return
    inputs = keras.Model(graph.inputs, [layer.input for layer in chosen])
    moments, count = [0.0] * len(chosen), 0
    for batch in batches:
        for image in batch:
            # Not as one function: TensorFlow would fuse convolutions with their biases, which in groups it cannot.
            found = inputs([image[None]], training=False)
            given = found if isinstance(found, list) else [found]
            moments = [sum_ + _moments(layer, x) for sum_, layer, x in zip(moments, chosen, given, strict=True)]
            count += 1
    for layer, second in zip(chosen, moments, strict=True):
        _round(layer, second / count)


def _is_small(layer: Any) -> bool:
    if type(layer) is layers.Conv2D and layer.groups != 1:
        return False
    known = type(layer) in (layers.Conv2D, layers.DepthwiseConv2D) and layer.use_bias
    return known and np.prod(layer.kernel.shape) <= SMALL


def _moments(layer: Any, x: np.ndarray) -> np.ndarray:
    """Second moments `[G, 1 + K, 1 + K]` of a one and what the kernel sees: of all channels, or of each (`G`)."""
    seen = ops.image.extract_patches(
        x, layer.kernel_size, strides=layer.strides, dilation_rate=layer.dilation_rate, padding=layer.padding
    )
    seen = ops.convert_to_numpy(seen).astype(np.float64).reshape(-1, *layer.kernel_size, x.shape[-1])
    seen = seen[:: -(-len(seen) // SAMPLES)]
    if type(layer) is layers.DepthwiseConv2D:
        seen = np.moveaxis(seen, -1, 0).reshape(x.shape[-1], len(seen), -1)
    else:
        seen = seen.reshape(1, len(seen), -1)
    seen = np.concatenate([np.ones((*seen.shape[:2], 1)), seen], axis=-1)
    return seen.transpose(0, 2, 1) @ seen / seen.shape[1]


def _round(layer: Any, moments: np.ndarray) -> None:
    kernel, bias = (np.asarray(ops.convert_to_numpy(one), np.float64) for one in (layer.kernel, layer.bias))
    depthwise = type(layer) is layers.DepthwiseConv2D
    rows = kernel.reshape(-1, bias.size).T  # one per output
    rounded = np.empty((bias.size, 1 + rows.shape[1]))
    for index, row in enumerate(np.concatenate([bias[:, None], rows], axis=1)):
        group = index // layer.depth_multiplier if depthwise else 0
        rounded[index] = rounded_row(row, moments[group])
    layer.bias.assign(rounded[:, 0])
    layer.kernel.assign(rounded[:, 1:].T.reshape(kernel.shape))


def rounded_row(row: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Half-precision values `[K]` whose sum with inputs of these second moments `[K, K]` is nearest to the row's.

    Never worse than each weight's nearest. The largest weights, whose steps are coarsest, are rounded first; those
    after them make up for it.
    """
    nearest = np.clip(row, -HIGHEST, HIGHEST).astype(np.float16).astype(np.float64)
    if np.abs(row).max() > HIGHEST or not np.isfinite(moments).all():
        return nearest
    order = np.argsort(-np.abs(row))
    second = moments[np.ix_(order, order)]
    second = second + np.eye(len(row)) * DAMPING * np.trace(second) / len(row)
    # The inverse's upper Cholesky factor; inputs that are all alike leave an inverse too inexact to be factored.
    upper = np.linalg.inv(np.linalg.cholesky(second[::-1, ::-1])[::-1, ::-1])
    left, made = row[order], np.empty(len(row))
    for index in range(len(row)):
        made[index] = np.float16(left[index])
        left[index + 1 :] -= (left[index] - made[index]) / upper[index, index] * upper[index, index + 1 :]
    together = np.empty(len(row))
    together[order] = made
    errors = [(row - one) @ moments @ (row - one) for one in (together, nearest)]
    return together if errors[0] < errors[1] else nearest
