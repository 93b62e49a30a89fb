"""The evaluator's reading of MIL's operations against coremltools' own: what it folds constants with."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobile_seg.coremltools_quietly import coremltools
from mobile_seg.verify.coreml.blobs import half
from mobile_seg.verify.coreml.operations import OPERATIONS
from mobile_seg.verify.coreml.resizing import resize_bilinear, upsample_bilinear

_rng = np.random.default_rng(3)
X = _rng.normal(size=(1, 4, 6, 5)).astype(np.float32)
Y = _rng.uniform(0.5, 2.0, size=(1, 4, 6, 5)).astype(np.float32)
BYTES = _rng.integers(0, 256, (3, 4), np.uint8)

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "add": ("add", {"x": X, "y": Y}),
    "sub": ("sub", {"x": X, "y": Y[:, :1]}),
    "mul": ("mul", {"x": X, "y": Y}),
    "real_div": ("real_div", {"x": X, "y": Y}),
    "maximum": ("maximum", {"x": X, "y": Y}),
    "minimum": ("minimum", {"x": X, "y": Y}),
    "relu": ("relu", {"x": X}),
    "relu6": ("relu6", {"x": X * 9}),
    "clip": ("clip", {"x": X, "alpha": np.float32(-0.5), "beta": np.float32(0.25)}),
    "leaky_relu": ("leaky_relu", {"x": X, "alpha": np.float32(0.1)}),
    "clamped_relu": ("clamped_relu", {"x": X, "alpha": np.float32(0.3), "beta": np.float32(0.5)}),
    "elu": ("elu", {"x": X, "alpha": np.float32(0.7)}),
    "sigmoid": ("sigmoid", {"x": X}),
    "sigmoid_hard": ("sigmoid_hard", {"x": X, "alpha": np.float32(0.3), "beta": np.float32(0.4)}),
    "scaled_tanh": ("scaled_tanh", {"x": X, "alpha": np.float32(0.7), "beta": np.float32(1.5)}),
    "softplus": ("softplus", {"x": X}),
    "tanh": ("tanh", {"x": X}),
    "exp": ("exp", {"x": X}),
    "round": ("round", {"x": np.arange(-3, 3, 0.25, dtype=np.float32)}),
    "rsqrt": ("rsqrt", {"x": Y, "epsilon": np.float32(0.01)}),
    "erf": ("erf", {"x": X}),
    "softmax": ("softmax", {"x": X, "axis": 1}),
    "reduce_mean": ("reduce_mean", {"x": X, "axes": [2, 3], "keep_dims": True}),
    "reduce_max": ("reduce_max", {"x": X, "axes": [1], "keep_dims": False}),
    "reduce_sum": ("reduce_sum", {"x": X, "axes": [-1], "keep_dims": False}),
    "reduce_argmax": ("reduce_argmax", {"x": X, "axis": 1, "keep_dims": False}),
    "matmul": ("matmul", {"x": X, "y": Y, "transpose_x": True, "transpose_y": False}),
    "linear": ("linear", {"x": X[0, 0], "weight": Y[0, 0], "bias": Y[0, 0, :, 0]}),
    "reshape": ("reshape", {"x": X, "shape": [0, 2, -1, 5]}),
    "transpose": ("transpose", {"x": X, "perm": [0, 2, 3, 1]}),
    "squeeze": ("squeeze", {"x": X, "axes": [0]}),
    "expand_dims": ("expand_dims", {"x": X[0], "axes": [0, 2]}),
    "concat": ("concat", {"values": (X, Y), "axis": 1, "interleave": False}),
    "stack": ("stack", {"values": (X, Y), "axis": 2}),
    "slice": ("slice_by_index", {"x": X, "begin": [0, 1, 0, 4], "end": [1, 3, 0, 0], "stride": [1, 1, 2, -2],
                                 "end_mask": [False, False, True, False]}),
    "slice, squeezed": ("slice_by_index", {"x": X, "begin": [0, 1, 0, 0], "end": [0, 2, 0, 0],
                                           "end_mask": [False, False, True, True],
                                           "squeeze_mask": [True, False, False, False]}),
    "slice_by_size": ("slice_by_size", {"x": X, "begin": [0, 1, 2, 0], "size": [1, 2, -1, 3]}),
    "gather": ("gather", {"x": X, "indices": np.array([3, 0, 0], np.int32), "axis": 1}),
    "tile": ("tile", {"x": X, "reps": [1, 2, 1, 3]}),
    "cast": ("cast", {"x": X * 9, "dtype": "int32"}),
    "quantize": ("quantize", {"input": X, "scale": np.float32(0.02), "zero_point": np.uint8(90),
                              "output_dtype": "uint8"}),
    "quantize, ties": ("quantize", {"input": np.arange(-3, 3, 0.25, dtype=np.float32), "scale": np.float32(0.5),
                                    "zero_point": np.int8(3), "output_dtype": "int8"}),
    "quantize, by axis": ("quantize", {"input": X, "scale": Y[0, :, 0, 0] / 50, "zero_point": np.arange(4).astype("i1"),
                                       "output_dtype": "int8", "axis": 1}),
}  # fmt: skip


def _folded(build: Callable[[Any], Any]) -> np.ndarray:
    """What coremltools' builder makes of an operation on constants."""
    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb

    found = []

    @mb.program(input_specs=[mb.TensorSpec(shape=(1,))], opset_version=ct.target.iOS17)
    def program(unused: Any) -> Any:
        made = build(mb)
        value = made.val if made.val is not None else made.op.materialized_val_inference()
        found.append(np.asarray(value))
        return mb.identity(x=unused)

    return found[0]


@pytest.mark.parametrize("name", CALLS)
def test_operations_compute_what_coremltools_folds(name: str) -> None:
    kind, arguments = CALLS[name]
    expected = _folded(lambda mb: getattr(mb, kind)(**arguments))
    found = np.asarray(OPERATIONS[kind](**arguments))
    assert found.shape == expected.shape
    # Both are NumPy in float32; where coremltools computes in float64, each of a few steps is off by 2^-24.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


CONSTANTS: dict[str, dict[str, Any]] = {
    "dequantize": {"input": BYTES, "scale": np.float32(0.1), "zero_point": np.uint8(7)},
    "constexpr_affine_dequantize": {
        "quantized_data": BYTES.view(np.int8),
        "zero_point": np.int8(-3),
        "scale": np.array([0.1, 0.2, 0.3], np.float32),
        "axis": 0,
    },
    "constexpr_lut_to_dense": {
        "indices": BYTES.ravel()[:9],
        "lut": np.arange(64, dtype=np.float32) ** 2,
        "shape": np.array([3, 4], np.uint32),
    },
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_constants_unfold_as_in_coremltools(kind: str) -> None:
    expected = _folded(lambda mb: getattr(mb, kind)(**CONSTANTS[kind]))
    np.testing.assert_allclose(OPERATIONS[kind](**CONSTANTS[kind]), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("half_precision", [False, True])
def test_many_bytes_become_what_each_does_alone(kind: Any, half_precision: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (1, 3, 16, 24)).astype(np.uint8).view(kind)
    known: dict[str, Any] = {"scale": np.float32(0.0371), "zero_point": kind(77), "half_precision": half_precision}
    found = OPERATIONS["dequantize"](values, **known)
    alone = [OPERATIONS["dequantize"](one[None], **known)[0] for one in values.ravel()]
    assert found.shape == values.shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), alone)
    exact = np.float32(0.0371) * (values.astype(np.float32) - 77)
    np.testing.assert_array_equal(found, half(exact) if half_precision else exact)


SAMPLED = {
    ("UNALIGN_CORNERS", 5): [0.0, 0.1, 0.5, 0.9, 1.0],
    ("STRICT_ALIGN_CORNERS", 5): [0.0, 0.25, 0.5, 0.75, 1.0],
    ("ALIGN_CORNERS", 5): [0.0, 0.25, 0.5, 0.75, 1.0],
    ("DEFAULT", 5): [0.0, 0.4, 0.8, 1.0, 1.0],
    ("OFFSET_CORNERS", 5): [0.1, 0.3, 0.5, 0.7, 0.9],
    ("UNALIGN_CORNERS", 6): [0.0, 0.0, 0.33, 0.67, 1.0, 1.0],
    ("STRICT_ALIGN_CORNERS", 6): [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
    ("DEFAULT", 6): [0.0, 0.33, 0.67, 1.0, 1.0, 1.0],
    ("OFFSET_CORNERS", 6): [0.08, 0.25, 0.42, 0.58, 0.75, 0.92],
}
"""Two pixels of 0 and 1 resized: the numbers in the reference's own text, to two digits."""


@pytest.mark.parametrize(("mode", "size"), SAMPLED)
def test_resizing_samples_where_the_reference_says(mode: str, size: int) -> None:
    found = resize_bilinear(np.array([[[[0.0, 1.0]]]], np.float32), 1, size, mode)[0, 0, 0]
    np.testing.assert_allclose(found, SAMPLED[mode, size], atol=0.0051)


@pytest.mark.parametrize(("aligned", "mode"), [(True, "STRICT_ALIGN_CORNERS"), (False, "UNALIGN_CORNERS")])
def test_upsampling_has_the_grid_of_a_resize(aligned: bool, mode: str) -> None:
    found = upsample_bilinear(X, 2, 2.6, align_corners=aligned)
    np.testing.assert_array_equal(found, resize_bilinear(X, 12, 13, mode))


def test_half_precision_is_that_of_a_cast() -> None:
    """Ties, numbers below the smallest normal one, what overflows, and no numbers."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    usual = rng.normal(size=(3, 50_000)).astype(np.float32)
    ties = (np.float32(1) + np.arange(4096, dtype=np.float32) * np.float32(2.0**-11)) * np.float32(2.0**-15)
    tiny = np.arange(-5000, 5000, dtype=np.float32) * np.float32(2.0**-26)
    for values in (bits, usual, usual.T, ties, tiny, np.float32([65504.0, 65519.9, 65520.0, -1e9]), np.float32(1 / 3)):
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.asarray(values).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(half(values), expected)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 2), (1, 1), (11, 11)])
@pytest.mark.parametrize(
    ("strides", "dilations"), [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((2, 1), (1, 2)), ((1, 1), (3, 2))]
)
def test_a_kernel_for_each_channel_meets_its_windows(
    kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> None:
    """Against sums over windows, whichever way they are added up."""
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(2, 5, 31, 33)), rng.normal(size=(5, 1, *kernel))
    bias = rng.normal(size=5)
    found = OPERATIONS["conv"](
        x.astype(np.float32),
        weight.astype(np.float32),
        bias.astype(np.float32),
        strides=strides,
        dilations=dilations,
        groups=5,
    )
    spans = [(side - 1) * rate + 1 for side, rate in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    expected = np.einsum("nchwij,cij->nchw", windows, weight[:, 0]) + bias[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-4)
