"""Biases on the accumulator's grid."""

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import calibrated, compare, images, logits, net

from mobile_seg.quantization.settle import settle_biases


def _model() -> keras.Model:
    def body(x: object) -> object:
        x = layers.BatchNormalization(name="first_bn")(layers.Conv2D(4, 3, name="first", use_bias=False)(x))
        x = layers.Activation("linear")(layers.MaxPooling2D(2)(layers.ReLU(6, name="act")(x)))
        x = layers.DepthwiseConv2D(3, name="second")(x)
        return layers.Conv2D(3, 1, name="last", use_bias=False)(x)

    return net(body)


@pytest.mark.parametrize(("layer", "before"), [("first", "normalize_quant"), ("second", "act_quant")])
def test_a_bias_lands_on_input_step_times_weight_step(layer: str, before: str) -> None:
    model = calibrated(_model())
    assert settle_biases(model) == 2, "the convolution without a bias has nothing to round"
    kernel, bias = model.get_layer(layer).deploy_weights()
    low, high = model.get_layer(before).get_range()
    flat = kernel.reshape(-1, bias.size) if layer == "first" else kernel[..., 0].reshape(-1, bias.size)
    steps = bias / ((high - low) / 255 * np.abs(flat).max(0) / 127)
    # float32 holds a bias of some thousand steps to better than a hundredth of one.
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)
    assert np.abs(steps).max() > 10


def test_it_moves_the_output_by_less_than_a_step_and_only_once() -> None:
    model = calibrated(_model())
    before = logits(model, images())
    settle_biases(model)
    after = logits(model, images())
    low, high = model.get_layer("last_quant").get_range()
    assert np.abs(after - before).max() <= 2 * (high - low) / 255
    settle_biases(model)
    np.testing.assert_array_equal(logits(model, images()), after)


def test_a_settled_model_and_its_artifact_agree_to_the_bit() -> None:
    found = compare(_model(), settle=True)
    assert found.steps.max() < 1e-3
