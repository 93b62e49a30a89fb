"""Ranking layers: the damaged one comes first, its cause is told apart, and its name is one that `keep` takes."""

import json
import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import images, logits, net

from mobile_seg.errors import UsageError
from mobile_seg.layers import SpaceToDepth
from mobile_seg.quantization import quantize
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import SCHEMES, find
from mobile_seg.quantization.sensitivity import Damage, rank

SHOWN = images(4).astype(np.float32)


def _block(x: Any, name: str, width: int = 6) -> Any:
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_conv")(x)
    return layers.ReLU(6, name=f"{name}_act")(layers.BatchNormalization(name=f"{name}_bn")(x))


def _chain(x: Any) -> Any:
    """Three blocks, a sum, averages, a concatenation: every kind of unit there is."""
    one = _block(x, "one")
    two = _block(one, "two")
    x = layers.Add(name="sum")([one, layers.AveragePooling2D(3, strides=1, padding="same", name="mean")(two)])
    x = layers.Concatenate(name="join")([_block(x, "left"), _block(x, "right")])
    return layers.Conv2D(5, 1, name="classify")(x)


def _ranked(model: keras.Model, **how: Any) -> dict[str, Damage]:
    ranking = rank(quantize(model, [SHOWN], **how), [SHOWN[:2], SHOWN[2:]])
    assert [damage.sqnr_db for damage in ranking] == sorted(damage.sqnr_db for damage in ranking)
    return {damage.layer: damage for damage in ranking}


def test_every_unit_is_ranked_by_a_name_that_keep_takes() -> None:
    model = net(_chain)
    ranking = _ranked(model)
    assert set(ranking) == {
        "one_act", "two_act", "sum", "left_conv", "right_conv", "join", "classify",
    }  # fmt: skip
    for damage in ranking.values():
        assert damage.raised is not None
        raised = insert_quantizers(model, keep={damage.layer: damage.raised})
        before = insert_quantizers(model)
        assert _grids(raised) != _grids(before), "raising it changes a layer"


def test_a_branch_has_its_join_s_range() -> None:
    with pytest.raises(UsageError, match="keep gives left_conv 16 bits, which shares a concatenation's range"):
        insert_quantizers(net(_chain), keep={"left_conv": "int16x8"})


def _grids(model: keras.Model) -> list[Any]:
    return [(layer.name, getattr(layer, "bits", None), getattr(layer, "weights_grid", None)) for layer in model.layers]


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "int16x8"])
def test_the_names_fit_every_scheme(scheme: str) -> None:
    model = net(lambda x: layers.Conv2D(4, 1, name="last")(layers.Activation("hard_silu", name="act")(_block(x, "b"))))
    for damage in _ranked(model, scheme=scheme).values():
        if damage.raised is not None:
            insert_quantizers(model, scheme=find(scheme), keep={damage.layer: damage.raised})


def test_sixteen_bits_leave_only_the_weights_to_raise() -> None:
    ranking = _ranked(net(_chain), scheme="int16x8")
    assert {name: damage.raised for name, damage in ranking.items()} == {
        "one_act": "float", "two_act": "float", "sum": None,
        "left_conv": "float", "right_conv": "float", "join": None, "classify": "float",
    }  # fmt: skip


def test_a_stretched_range_is_found_and_is_the_activations() -> None:
    model = net(_chain)
    quantized = quantize(model, [SHOWN])
    quantized.get_layer("two_act_quant").set_range(0.0, 600.0)
    worst = rank(quantized, [SHOWN])[0]
    assert (worst.layer, worst.raised) == ("two_act", "int16x8")
    assert worst.activations_sqnr_db < 20 < worst.weights_sqnr_db
    assert worst.sqnr_db == pytest.approx(worst.activations_sqnr_db, abs=1.0)


def test_one_huge_weight_is_found_and_is_the_weights() -> None:
    model = net(_chain)
    kernel = np.asarray(model.get_layer("two_conv").kernel).copy()
    kernel[0, 0, 0, :] = 60.0  # of a channel that is then silenced: the scale is lost, the output is not
    model.get_layer("one_bn").gamma.assign([0.0, *np.asarray(model.get_layer("one_bn").gamma)[1:]])
    model.get_layer("one_bn").beta.assign([0.0, *np.asarray(model.get_layer("one_bn").beta)[1:]])
    model.get_layer("one_bn").moving_mean.assign(np.zeros(6))
    model.get_layer("two_conv").kernel.assign(kernel)
    ranking = rank(quantize(model, [SHOWN]), [SHOWN])
    assert (ranking[0].layer, ranking[0].raised) == ("two_act", "float")
    assert ranking[0].weights_sqnr_db < ranking[0].activations_sqnr_db


def test_the_numbers_are_those_of_the_model_itself() -> None:
    """One quantizer switched on by hand, everything else off."""
    model = net(lambda x: layers.Conv2D(4, 1, name="last")(_block(x, "b")))
    ranking = _ranked(model)
    expected = logits(model, SHOWN).astype(np.float64)
    low, high = quantize(model, [SHOWN]).get_layer("last_quant").get_range()
    step = (high - low) / 255
    found = np.clip(np.round(expected / step), round(low / step), round(high / step)) * step
    noise = np.square(found - expected).sum()
    damage = ranking["last"]
    assert damage.activations_sqnr_db == pytest.approx(10 * math.log10(np.square(expected).sum() / noise), abs=0.05)
    both = 10 * math.log10(1 / (10 ** (-damage.weights_sqnr_db / 10) + 10 ** (-damage.activations_sqnr_db / 10)))
    assert damage.sqnr_db == pytest.approx(both, abs=1.0), "independent errors add up"
    assert 0 <= damage.disagreement < 0.2
    assert step / 2 <= damage.largest < 6 * step


def test_float_activations_do_no_damage() -> None:
    ranking = _ranked(net(_chain), scheme="w8")
    assert set(ranking) == {"one_conv", "two_conv", "left_conv", "right_conv", "classify"}
    for damage in ranking.values():
        assert damage.raised == "float"
        assert damage.activations_sqnr_db == math.inf
        assert damage.sqnr_db == damage.weights_sqnr_db < 60


def test_kernels_of_8_bits_only_are_not_raised_to_16() -> None:
    def body(x: Any) -> Any:
        one = layers.Conv2D(4, 1, name="one")(x)
        two = layers.Conv2D(4, 1, name="two")(one)
        return layers.Conv2D(4, 1, name="last")(SpaceToDepth(2, name="fold")(two))

    ranking = _ranked(net(body))
    raised = {name: damage.raised for name, damage in ranking.items()}
    assert raised["one"] == "int16x8"
    assert raised["two"] == "float"


def test_the_model_is_left_as_it_was() -> None:
    quantized = quantize(net(_chain), [SHOWN])
    before, weights = logits(quantized, images()), [value.copy() for value in quantized.get_weights()]
    rank(quantized, [SHOWN])
    np.testing.assert_array_equal(logits(quantized, images()), before)
    for one, other in zip(quantized.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_progress_counts_layers_and_batches() -> None:
    told: list[tuple[int, int, str]] = []
    rank(quantize(net(_chain), [SHOWN]), [SHOWN[:2], SHOWN[2:]], progress=lambda *at: told.append(at))
    assert [done for done, _, _ in told] == list(range(1, 15))
    assert {total for _, total, _ in told} == {14}


def test_json_says_null_for_no_damage() -> None:
    damage = Damage("conv", 30.0, 0.01, 0.5, 30.0, math.inf, "float")
    value = json.loads(json.dumps(damage.to_dict(), allow_nan=False))
    assert (value["weights_sqnr_db"], value["activations_sqnr_db"], value["raised"]) == (30.0, None, "float")


def test_what_cannot_be_ranked_is_refused() -> None:
    model = net(_chain)
    with pytest.raises(UsageError, match="no quantized layer to rank"):
        rank(model, [SHOWN])
    quantized = quantize(model, [SHOWN])
    with pytest.raises(UsageError, match="no image"):
        rank(quantized, [])
    quantized.get_layer("classify").kernel.assign(np.full(quantized.get_layer("classify").kernel.shape, np.nan))
    with pytest.raises(UsageError, match="not finite"):
        rank(quantized, [SHOWN])
    assert all(getattr(layer, "enabled", True) for layer in quantized.layers), "switched on again"
