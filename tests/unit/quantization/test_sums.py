"""Sums without ties: every runtime rounds every pair of integers alike."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import calibrated, net

from mobile_seg.quantization import settle as settling
from mobile_seg.quantization.arithmetic import QuantAdd
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.settle import settle, sums_of
from mobile_seg.quantization.sums import FEWEST, Sum, part_from_ties


def _residuals(x: Any) -> Any:
    """Three residual blocks, one of which adds little; a clamp behind a sum; one tensor in two sums; a difference."""
    x = y = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(x)
    for number, share in enumerate((1.0, 0.02, 0.3)):
        block = layers.Conv2D(4, 3, padding="same", name=f"block{number}", kernel_initializer="zeros")(x)
        x = layers.Add(name=f"sum{number}")([x, layers.Rescaling(share)(block)])
    x = layers.ReLU(6, name="clamp")(layers.Add(name="again")([x, y]))
    return layers.Subtract(name="difference")([x, layers.Conv2D(4, 1, name="last")(x)])


def _quantizer(step: float, zero_point: int, name: str, **options: Any) -> FakeQuant:
    made = FakeQuant(name=name, **options)
    made.build(())
    made.set_range(-zero_point * step, (255 - zero_point) * step)
    return made


def _all_pairs(one: Sum) -> tuple[np.ndarray, np.ndarray]:
    """Every integer of either input, as far from its zero point as it lies."""
    first, second = (np.arange(256) - quantizer.zero_point for quantizer in one.inputs)
    return np.repeat(first, 256), np.tile(second, 256)


def in_xnnpack(one: Sum, sign: int = 1) -> np.ndarray:
    """The Keras layer, which has its arithmetic."""
    layer = QuantAdd(name="add")
    layer.sign = sign
    layer.build([(None,), (None,)])
    steps = [np.float32(quantizer.step) for quantizer in (*one.inputs, one.output)]
    layer.steps.assign(steps)
    values = [integers.astype(np.float32) * step for integers, step in zip(_all_pairs(one), steps, strict=False)]
    return np.round(keras.ops.convert_to_numpy(layer(values)) / steps[2]).astype(int)


def in_floats(one: Sum, sign: int = 1) -> np.ndarray:
    """ONNX Runtime on x86: what is constant is added up first, ties to even."""
    steps = [np.float32(quantizer.step) for quantizer in (*one.inputs, one.output)]
    factors = steps[0] / steps[2], sign * steps[1] / steps[2]
    zeros = [np.float32(quantizer.zero_point) for quantizer in (*one.inputs, one.output)]
    fixed = zeros[2] - (factors[0] * zeros[0] + factors[1] * zeros[1])
    bytes_ = [pair + zero for pair, zero in zip(_all_pairs(one), zeros, strict=False)]
    total = fixed + bytes_[0].astype(np.float32) * factors[0] + bytes_[1].astype(np.float32) * factors[1]
    return np.rint(total).astype(int) - int(zeros[2])


def in_fixed_point(one: Sum, sign: int = 1, bits: int = 22) -> np.ndarray:
    """ONNX Runtime on ARM: multipliers of 22 bits."""
    factors = [quantizer.step / one.output.step for quantizer in one.inputs]
    shift = bits - 1 - int(np.floor(np.log2(max(factors))))
    first, second = (round(factor * 2**shift) for factor in factors)
    pairs = _all_pairs(one)
    return (pairs[0] * first + sign * pairs[1] * second + 2 ** (shift - 1)) >> shift


def _parted(one: Sum, sign: int = 1) -> int:
    """Pairs of integers whose sum, as far as the output holds it, is not the same everywhere."""
    low, high = -one.output.zero_point, 255 - one.output.zero_point
    found = [np.clip(runtime(one, sign), low, high) for runtime in (in_xnnpack, in_floats, in_fixed_point)]
    return int(np.count_nonzero((found[0] != found[1]) | (found[0] != found[2])))


def _signs(model: keras.Model) -> list[int]:
    return [layer.sign for layer in model.layers if isinstance(layer, QuantAdd)]


def test_all_runtimes_add_every_pair_of_integers_alike() -> None:
    model = calibrated(net(_residuals))
    settle(model)
    sums = list(sums_of(model))
    assert len(sums) == 5
    assert [_parted(one, sign) for one, sign in zip(sums, _signs(model), strict=True)] == [0] * 5
    assert all(one.has_no_tie for one in sums)


def test_left_as_they_were_they_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "part_from_ties", lambda sums: None)
    model = calibrated(net(_residuals))
    settle(model)
    sums = list(sums_of(model))
    assert sum(_parted(one, sign) for one, sign in zip(sums, _signs(model), strict=True)) > 0
    assert not all(one.has_no_tie for one in sums)


@pytest.mark.parametrize("seed", range(12))
def test_of_any_steps(seed: int) -> None:
    """Also of one input up to 16 times finer than the other."""
    rng = np.random.default_rng(seed)
    steps = 0.01 * 2.0 ** rng.uniform(-2.0, 2.0, 2)
    one = Sum(
        (_quantizer(steps[0], rng.integers(255), "first"), _quantizer(steps[1], rng.integers(255), "second")),
        _quantizer(steps.max() * np.exp(rng.uniform(-0.7, 0.7)), rng.integers(255), "sum"),
    )
    quantizers = (*one.inputs, one.output)
    before = [(quantizer.step, quantizer.zero_point) for quantizer in quantizers]
    part_from_ties([one])
    assert one.has_no_tie
    assert _parted(one) == 0
    for quantizer, (step, zero_point) in zip(quantizers, before, strict=True):
        assert quantizer.zero_point == zero_point
        assert step * (1 - 2.0 ** (1 - FEWEST)) < quantizer.step <= step
    after = [quantizer.get_range() for quantizer in quantizers]
    part_from_ties([one])
    assert [quantizer.get_range() for quantizer in quantizers] == after, "a second time moves nothing"


def test_what_a_kernel_prescribes_stays() -> None:
    fixed = _quantizer(1 / 127.5, 128, "bytes", fixed_range=(-1.0, 1.0))
    before = fixed.get_range()
    one = Sum((fixed, _quantizer(0.013, 0, "other")), _quantizer(0.017, 3, "sum"))
    part_from_ties([one])
    assert fixed.get_range() == before
    assert not one.has_no_tie


def test_what_others_read_too_keeps_its_range() -> None:
    shared = _quantizer(1.99 * 2.0**-12, 0, "shared")
    part_from_ties([Sum((shared, _quantizer(0.013, 0, "other")), _quantizer(0.017, 3, "sum"), (False, True))])
    assert shared.step > 1.95 * 2.0**-12


def test_a_sum_beside_which_an_input_is_far_finer_may_have_ties() -> None:
    fine = _quantizer(2.0**-17 * 1.99, 9, "fine")
    one = Sum((fine, _quantizer(0.013, 0, "other")), _quantizer(0.017, 3, "sum"))
    part_from_ties([one])
    assert fine.step > 2.0**-17 * 1.95, "it would lose a quarter of its range"
    assert not one.has_no_tie


def test_a_tensor_that_is_always_zero_stays() -> None:
    dead = _quantizer(1e-9, 0, "dead")
    before = dead.get_range()
    one = Sum((dead, _quantizer(0.013, 0, "other")), _quantizer(0.017, 3, "sum"))
    part_from_ties([one])
    assert dead.get_range() == before
