"""Weights as integers and as palettes, found from their values."""

import numpy as np

from mobile_seg.errors import ArtifactError

LEVELS = 127
"""Largest magnitude of a narrow 8-bit weight."""

TOLERANCE = 1e-3
"""In steps. A weight `k · step` in float32 is off by 2^-24 of itself, and so is the largest that it is divided by: at
most 127 · 3 · 2^-24 = 2.3e-5 of a step, some more where a share was multiplied in."""

ITERATIONS = 100
"""Of k-means, at most; it ends where no value changes its cluster."""


def grid_of(values: np.ndarray, axis: int, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 integers and one float32 step per position of `axis`, whose products are the values.

    The values must lie on such a grid already. Its step is the largest of a channel over one of the whole numbers up
    to 127, the one that makes all of them whole: the largest number is tried first.

    Raises:
        ArtifactError: if they lie on none.
    """
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.float64)
    largest = np.abs(channels).max(axis=1)
    steps = np.zeros(len(channels))
    open_ones = np.flatnonzero(largest > 0.0)
    for number in range(LEVELS, 0, -1):
        if not len(open_ones):
            break
        counted = channels[open_ones] * (number / largest[open_ones, None])
        whole = np.abs(counted - np.round(counted)).max(axis=1) < TOLERANCE
        steps[open_ones[whole]] = largest[open_ones[whole]] / number
        open_ones = open_ones[~whole]
    if len(open_ones):
        raise ArtifactError(
            f"{name}: the weights of channel {open_ones[0]} lie on no grid of 255 integers, as those of a deployed "
            "quantized model do; export the graph that mobile_seg.quantization.deploy.deploy_graph returns"
        )
    # A channel of zeros has any step.
    exact = np.where(steps > 0.0, steps, 1.0)
    integers = np.round(channels / exact[:, None]).astype(np.int8)
    shape = (values.shape[axis], *np.delete(values.shape, axis))
    return np.ascontiguousarray(np.moveaxis(integers.reshape(shape), 0, axis)), exact.astype(np.float32)


def palette_of(values: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a table `[2^bits]` float32 in rising order and the index of each value, flat, by k-means.

    The same values give the same table: clusters start where the best table for such values has them, as dense as the
    cube root of the values' density (Panter and Dite, 1951), and move to their means (Lloyd).
    """
    ranked = np.sort(values.astype(np.float64), axis=None)
    table = _first_table(ranked, 2**bits)
    sums = np.concatenate([[0.0], np.cumsum(ranked)])
    edges = np.zeros(0, np.int64)
    for _ in range(ITERATIONS):
        before = edges
        edges = np.searchsorted(ranked, (table[1:] + table[:-1]) / 2)
        if np.array_equal(before, edges):
            break
        bounds = np.concatenate([[0], edges, [ranked.size]])
        sizes = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(sizes, 1)
        table = np.where(sizes > 0, means, table)
    indices = np.searchsorted((table[1:] + table[:-1]) / 2, values.ravel().astype(np.float64))
    return table.astype(np.float32), indices.astype(np.uint8)


def _first_table(ranked: np.ndarray, count: int) -> np.ndarray:
    distinct = np.unique(ranked)
    if distinct.size <= count:
        return np.pad(distinct, (0, count - distinct.size), mode="edge")
    found, edges = np.histogram(ranked, bins=64)
    mass = np.concatenate([[0.0], np.cumsum(np.cbrt(found))])
    return np.interp((np.arange(count) + 0.5) * (mass[-1] / count), mass, edges)


def packed(indices: np.ndarray, bits: int) -> np.ndarray:
    """Indices of so many bits in a row of bytes, the lowest bit first."""
    if bits == 8:
        return indices
    return np.packbits(np.unpackbits(indices[:, None], axis=1, bitorder="little")[:, :bits], bitorder="little")
