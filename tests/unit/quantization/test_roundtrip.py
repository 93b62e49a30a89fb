"""Every layer, alone and in random graphs: the file computes what the quantization-aware graph computes."""

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from unit.quantization import graphs
from unit.quantization.graphs import BOUNDED, EXACT, REQUANTIZED, body_of
from unit.quantization.nets import REASONS, calibrated, compare, compare_quantized, images, net

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.layers import WeightedSum
from mobile_seg.quantization.lower import lower
from mobile_seg.quantization.rewrite import insert_quantizers, units
from mobile_seg.quantization.settle import settle, tell_steps

BYTES, JOINED, READ, WIDENED, FLOAT = REASONS


def _chunks(names: list[str], size: int = 15) -> list[list[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]


# Several graphs side by side, as outputs of one model: they share the image and one conversion.
@pytest.mark.parametrize("names", _chunks([*EXACT]), ids=lambda names: f"{names[0]}..{names[-1]}")
def test_a_settled_model_and_its_file_are_equal_to_the_bit(names: list[str]) -> None:
    found = compare(net([EXACT[name] for name in names]))
    found.check()
    assert found.facts.float_ops == 0
    assert [one.reason for one in found.conversions] == [BYTES]
    assert dict(zip(names, found.bounds, strict=True)) == dict.fromkeys(names, 0.0)
    assert dict(zip(names, (steps.max() for steps in found.steps), strict=True)) == dict.fromkeys(names, 0.0)


def test_a_tie_of_a_mean_falls_by_its_outputs_zero_point() -> None:
    grids = [(1.0, 0), (1.0, 101), (0.375, 126), (0.7, 180), (0.5, 61)]

    def body(index: int) -> Any:
        means = layers.GlobalAveragePooling2D(name=f"mean{index}", keepdims=index % 2 == 0)
        return lambda x: means(layers.Conv2D(64, 3, padding="same", name=f"conv{index}")(x))

    quantized = calibrated(net([body(index) for index in range(len(grids))], size=(4, 4)))
    settle(quantized)
    for index, (ratio, zero_point) in enumerate(grids):
        step = quantized.get_layer(f"conv{index}_quant").step * ratio
        quantized.get_layer(f"mean{index}_quant").set_range(-zero_point * step, (255 - zero_point) * step)
    tell_steps(quantized)
    shown = images(size=(4, 4)).astype(np.float32)
    before = [quantized.get_layer(f"mean{index}").input for index in range(len(grids))]
    for index, values in enumerate(keras.Model(quantized.input, before)(shown)):
        mean = np.asarray(values, np.float64).mean((1, 2)) / quantized.get_layer(f"mean{index}_quant").step
        assert np.sum(np.abs(mean - np.floor(mean) - 0.5) < 1e-5) >= 5, f"no ties in mean {index}"
    assert [steps.max() for steps in compare_quantized(quantized).steps] == [0.0] * len(grids)


def test_a_share_of_nothing_is_no_trouble() -> None:
    model = net(lambda x: WeightedSum(name="fuse")([graphs.conv()(x), graphs.conv(4, 1)(x)]))
    model.get_layer("fuse").fusion.assign([0.7, -0.2])
    found = compare(model)
    found.check()
    assert found.steps[0].max() == 0


def test_kernels_that_round_otherwise_stay_within_their_bounds() -> None:
    found = compare(net([*BOUNDED.values()]))
    found.check()
    assert found.facts.float_ops == 0
    assert [one.reason for one in found.conversions] == [BYTES]
    for name, steps, bound in zip(BOUNDED, found.steps, found.bounds, strict=True):
        assert bound > 0, f"{name} belongs to the exact ones"
        # The bound takes every rounding at its worst and all of one sign; they are small and cancel.
        assert steps.mean() < 0.1, name


def test_a_tensor_that_needs_two_grids_is_moved_once() -> None:
    found = compare(net([*REQUANTIZED.values()]))
    found.check()
    assert found.facts.float_ops == 0
    assert found.steps[[*REQUANTIZED].index("branch_used_elsewhere")].max() == 0
    assert Counter(one.reason for one in found.conversions) == {BYTES: 1, JOINED: 2, READ: len(REQUANTIZED) - 2 - 1}


OF_EACH = (
    "depthwise_multiplier", "transposed_valid_bn", "dense", "average_pool", "space_to_depth", "difference",
    "hard_swish", "concatenation", "swish", "tanh", "softmax", "upsample_bilinear", "squeeze_excite", "fusion",
    "branch_averaged",
)  # fmt: skip
SCHEMES: dict[str, tuple[str, ...]] = {
    "int8-per-tensor": ("depthwise_multiplier", "transposed_valid_bn", "dense", "concatenation"),
    "edgetpu": ("hard_swish", "squeeze_excite", "fusion", "sum_relu6"),
    "int16x8": OF_EACH,
    "w8": OF_EACH,
    "float16": OF_EACH,
}
"""Scheme → what it may do otherwise than int8; the slow tests give each everything."""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_follows_its_graph(scheme: str) -> None:
    bodies, names = {**EXACT, **BOUNDED, **REQUANTIZED}, SCHEMES[scheme]
    found = compare(net([bodies[name] for name in names]), scheme=scheme)
    found.check()
    if scheme in ("w8", "float16"):
        assert found.conversions == ()
        return
    assert found.facts.float_ops == 0
    assert {one.reason for one in found.conversions} <= {BYTES, JOINED, READ, WIDENED}
    if scheme == "int16x8":
        assert [one.reason for one in found.conversions].count(WIDENED) == 1, "the image alone has 8 bits"
        return
    for name, steps in zip(names, found.steps, strict=True):
        assert name in {*BOUNDED, *REQUANTIZED} or steps.max() == 0, name


# No shrinking: every try is a conversion, and the steps that failed are printed as they are.
QUICK = settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
THOROUGH = settings(max_examples=100, phases=[Phase.explicit, Phase.generate])


def _check_exact(middle: list[graphs.Step]) -> None:
    found = compare(net(body_of(middle)))
    found.check()
    assert found.facts.float_ops == 0
    assert found.bounds == [0.0]


def _check_bounded(middle: list[graphs.Step], scheme: str) -> None:
    found = compare(net(body_of(middle)), scheme=scheme)
    found.check()
    if scheme not in ("w8", "float16"):
        assert found.facts.float_ops == 0
        assert FLOAT not in {one.reason for one in found.conversions}


def _check_kept(middle: list[graphs.Step], choices: list[str]) -> None:
    model = net(body_of(middle))
    keep = _fitting(model, choices)
    compare(model, keep=keep).check()


def _fitting(model: keras.Model, choices: list[str]) -> dict[str, str]:
    """Raise a unit for each choice, as it is allowed to be."""
    names = [unit[-1] for unit in units(view(lower(model))).values()]
    keep: dict[str, str] = {}
    for index, raised in enumerate(choices):
        name = names[index * 7 % len(names)]
        try:
            insert_quantizers(model, keep={name: raised})
        except UsageError:
            continue
        keep[name] = raised
    return keep


EXACT_STEPS = graphs.steps(graphs.EXACT_KINDS, (*graphs.FUSED, "hard_swish"))
RAISED: Any = st.lists(st.sampled_from(("float", "int16x8")), min_size=1, max_size=3)


@QUICK
@given(EXACT_STEPS)
def test_random_graphs_of_exact_layers_are_equal_to_the_bit(middle: list[graphs.Step]) -> None:
    _check_exact(middle)


@QUICK
@given(graphs.steps())
def test_random_graphs_stay_within_their_bounds(middle: list[graphs.Step]) -> None:
    _check_bounded(middle, "int8")


@QUICK
@given(graphs.steps(), RAISED)
def test_random_layers_raised_stay_within_their_bounds(middle: list[graphs.Step], choices: list[str]) -> None:
    _check_kept(middle, choices)


@pytest.mark.slow
@THOROUGH
@given(EXACT_STEPS)
def test_many_graphs_of_exact_layers_are_equal_to_the_bit(middle: list[graphs.Step]) -> None:
    _check_exact(middle)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["int8", *SCHEMES])
@THOROUGH
@given(graphs.steps())
def test_many_graphs_stay_within_their_bounds(scheme: str, middle: list[graphs.Step]) -> None:
    _check_bounded(middle, scheme)


@pytest.mark.slow
@THOROUGH
@given(graphs.steps(), RAISED)
def test_many_layers_raised_stay_within_their_bounds(middle: list[graphs.Step], choices: list[str]) -> None:
    _check_kept(middle, choices)
