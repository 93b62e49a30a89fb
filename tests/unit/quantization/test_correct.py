"""Bias correction, against the shift measured a second time."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import images, logits, net

from mobile_seg.errors import UsageError
from mobile_seg.quantization import correct, quantize
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.correct import correct_biases, first_batches
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find

SHOWN = images(8).astype(np.float32)


def _body(x: Any) -> Any:
    x = layers.BatchNormalization(name="a_bn")(layers.Conv2D(8, 3, padding="same", use_bias=False, name="a")(x))
    x = layers.ReLU(6, name="a_act")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="b")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.Conv2D(8, 1, use_bias=False, name="c")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, name="d")(layers.ReLU(name="c_act")(x))
    return layers.Dense(3, name="e")(layers.GlobalAveragePooling2D(name="mean")(x))


def _calibrated(scheme: str = "int8-per-tensor", keep: dict[str, str] | None = None) -> keras.Model:
    quantized = insert_quantizers(net(_body), scheme=find(scheme), keep=keep)
    calibrate(quantized, [SHOWN])
    return quantized


def _shift(model: keras.Model, name: str) -> np.ndarray:
    """Mean output of a layer with rounded weights, less that without, what is before it the same: `[C]`."""
    layer = model.get_layer(name)
    probe = keras.Model(model.input, layer.input)
    x = probe(SHOWN)
    activation, layer.activation = layer.activation, keras.activations.linear
    with_rounding = np.asarray(layer(x), np.float64)
    layer.enabled = False
    without = np.asarray(layer(x), np.float64)
    layer.enabled, layer.activation = True, activation
    return (with_rounding - without).mean(tuple(range(without.ndim - 1)))


def _bias(model: keras.Model, name: str) -> np.ndarray:
    return np.asarray(model.get_layer(name).folded()[1]).copy()


def test_the_shift_is_measured_behind_the_corrections_before_and_taken_off_the_bias() -> None:
    model = _calibrated()
    alone = {name: _shift(model, name) for name in "abcde"}
    before = {name: _bias(model, name) for name in "abde"}
    found = {one.layer: one for one in correct_biases(model, [SHOWN[:3], SHOWN[3:]])}
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert [name for name, one in found.items() if not one.corrected] == ["c"], "it has no bias"
    for name, one in found.items():
        # A bias does not change its own layer's shift, so it can be measured afterwards.
        np.testing.assert_allclose(one.shift, _shift(model, name), rtol=1e-3, atol=2e-6)
        assert np.abs(one.shift).max() > 1e-4
        if one.corrected:
            np.testing.assert_allclose(_bias(model, name) - before[name], -one.shift, atol=1e-6)
    moved = {name: float(np.abs(one.shift - alone[name]).max()) for name, one in found.items()}
    assert moved["a"] < 2e-6
    assert min(moved["b"], moved["c"], moved["d"]) > 1e-5, moved


@pytest.mark.parametrize("scheme", ["int8-per-tensor", "w8"])
def test_it_brings_the_mean_output_back(scheme: str) -> None:
    model = net(_body)
    expected = logits(model, SHOWN).mean(0)
    plain, corrected = (
        quantize(model, iter([SHOWN]), scheme=scheme, correct_bias=correct_bias) for correct_bias in (False, True)
    )
    shifts = [np.linalg.norm(logits(made, SHOWN).mean(0) - expected) for made in (plain, corrected)]
    assert shifts[1] < shifts[0] / 2, shifts


def test_layers_in_float_have_no_shift_and_are_not_in_the_answer() -> None:
    found = correct_biases(_calibrated(keep={"b": "float", "e": "float"}), [SHOWN])
    assert [one.layer for one in found] == ["a", "c", "d"]


def test_nothing_to_correct_and_no_images_are_errors() -> None:
    def body(x: Any) -> Any:
        return layers.Conv2D(3, 1, use_bias=False, name="last")(x)

    with pytest.raises(UsageError, match="net has no rounded layer with a bias"):
        quantize(net(body), [SHOWN], correct_bias=True)
    with pytest.raises(UsageError, match="no image"):
        correct_biases(_calibrated(), [])
    with pytest.raises(UsageError, match="no image"):
        quantize(net(_body), [], correct_bias=True)


def test_only_the_first_batches_are_kept_and_all_are_calibrated_on(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(8):
            read.append(number)
            yield SHOWN[number : number + 1]

    monkeypatch.setattr(correct, "VALUES", 2 * SHOWN[0].size)
    assert len(first_batches(batches())) == 2
    assert read == [0, 1]
    made = quantize(net(_body), batches(), correct_bias=True, method="minmax")
    assert read == [0, 1, *range(8)]
    whole = quantize(net(_body), [SHOWN], method="minmax")
    assert made.get_layer("a_act_quant").get_range() == whole.get_layer("a_act_quant").get_range()
