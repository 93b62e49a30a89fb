"""Settling: ranges, steps and biases become what the integer kernels use, and nothing else moves."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from unit.quantization.nets import calibrated, compare, compare_quantized, images, logits, net

from mobile_seg.graph import view
from mobile_seg.quantization.arithmetic import BY_STEPS
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import ACCUMULATOR, QuantLinear
from mobile_seg.quantization.settle import (
    infer_in_integers,
    quantizer_of,
    settle,
    sync_ranges,
    thaw_batch_norm,
    unsettle,
)


def _body(x: Any) -> Any:
    x = layers.BatchNormalization(name="first_bn")(layers.Conv2D(4, 3, name="first", use_bias=False)(x))
    x = layers.Activation("linear")(layers.MaxPooling2D(2)(layers.ReLU(6, name="act")(x)))
    x = layers.DepthwiseConv2D(3, name="second")(x)
    x = layers.AveragePooling2D(3, strides=1, padding="same", name="mean")(x)
    return layers.Conv2D(3, 1, name="last", use_bias=False)(x)


def _model(scheme: str = "int8", keep: dict[str, str] | None = None) -> keras.Model:
    return calibrated(net(_body), scheme=scheme, keep=keep)


@pytest.mark.parametrize(("layer", "before"), [("first", "normalize_quant"), ("second", "act_quant")])
def test_a_bias_lands_on_input_step_times_weight_step(layer: str, before: str) -> None:
    model = _model()
    assert settle(model) == 2, "the convolution without a bias has nothing to round"
    _, bias = model.get_layer(layer).folded()
    grid = model.get_layer(before).step * model.get_layer(layer).weight_steps().astype(np.float64)
    steps = np.asarray(bias) / grid
    # float32 holds a bias of some thousand steps to better than a hundredth of one.
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)
    assert np.abs(steps).max() > 10


def test_it_moves_the_output_by_little_and_only_once() -> None:
    model = _model()
    before = logits(model, images())
    settle(model)
    after, weights = logits(model, images()), model.get_weights()
    assert 0 < np.abs(after - before).max() <= 4 * model.get_layer("last_quant").step
    settle(model)
    np.testing.assert_array_equal(logits(model, images()), after)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_known_to_be_settled_it_computes_the_same_with_fewer_operations() -> None:
    model = calibrated(net(lambda x: layers.Add()([_body(x), layers.Conv2D(3, 10, name="beside")(x)])))
    settle(model)
    expected = logits(model, images())
    infer_in_integers(model)
    assert {layer.computes for layer in model.layers if hasattr(layer, "computes")} == {"integers"}
    np.testing.assert_array_equal(logits(model, images()), expected)
    for layer in model.layers:  # what it computes with is held: variables are not read any more
        if isinstance(layer, QuantLinear):
            layer.kernel.assign(layer.kernel * 0.0)
    np.testing.assert_array_equal(logits(model, images()), expected)
    unsettle(model)
    assert {layer.computes for layer in model.layers if hasattr(layer, "computes")} == {BY_STEPS}


def test_sums_without_a_bias_are_sums_of_integers_in_a_compiled_function() -> None:
    def body(x: Any) -> Any:
        x = layers.Conv2D(96, 3, activation="relu6", name="first")(x)
        return layers.Conv2D(96, 3, use_bias=False, name="last")(x)

    model = calibrated(net(body))
    settle(model)
    last = model.get_layer("last")
    last.output_step.assign(last.output_step / 2**12)  # so fine that every rounding on the way shows
    infer_in_integers(model)
    shown = np.random.default_rng(0).uniform(0, 255, (16, *model.input_shape[1:])).round().astype(np.float32)
    given = np.asarray(keras.Model(model.input, last.input).predict_on_batch(shown))
    kernel = last.integers.kernel.astype(np.float64)
    total = np.asarray(ops.conv(np.round(given / last.input_step).astype(np.float64), kernel))
    step = np.float32(last.output_step)
    scale = np.float32(last.input_step) * np.asarray(last.weight_step) / step
    # Left to itself, TensorFlow multiplies the kernel by the scale: sums of floats tip near the middle of two steps.
    found = np.asarray(keras.Model(model.input, last.output).predict_on_batch(shown))
    np.testing.assert_array_equal(found, np.round(total.astype(np.float32) * scale) * step)


def test_what_is_not_settled_goes_on_looking() -> None:
    model = _model(keep={"second": "float"})
    settle(model)
    expected = logits(model, images())
    infer_in_integers(model)
    assert model.get_layer("second").computes == BY_STEPS
    np.testing.assert_array_equal(logits(model, images()), expected)


def test_layers_are_told_the_steps_around_them() -> None:
    model = _model()
    settle(model)
    second = model.get_layer("second")
    assert float(second.input_step) == np.float32(model.get_layer("act_quant").step), "through pooling and copies"
    assert float(second.output_step) == np.float32(model.get_layer("second_quant").step)
    np.testing.assert_array_equal(second.weight_step, second.weight_steps())


def test_a_quantizer_that_follows_gets_the_range_as_it_stands() -> None:
    model = _model()
    follower, owner = model.get_layer("mean_quant"), model.get_layer("second_quant")
    assert follower.follows == "second_quant"
    owner.set_range(-3.0, 5.0)
    sync_ranges(model)
    assert follower.get_range() == (-3.0, 5.0)


def test_ranges_are_snapped_and_nearly_what_they_were() -> None:
    model = _model()
    before = {layer.name: layer.get_range() for layer in model.layers if isinstance(layer, FakeQuant)}
    settle(model)
    for name, limits in before.items():
        layer = model.get_layer(name)
        np.testing.assert_allclose(layer.get_range(), limits, atol=0.6 * layer.step, err_msg=name)
        assert np.float64(np.float32(layer.step)) == pytest.approx(layer.step, rel=1e-7)


def test_unsettled_it_computes_in_floats_again() -> None:
    model = _model()
    settle(model)
    in_integers = logits(model, images())
    unsettle(model)
    for layer in model.layers:
        if isinstance(layer, QuantLinear):
            assert float(layer.output_step) == 0
    assert np.abs(logits(model, images()) - in_integers).max() <= 2.01 * model.get_layer("last_quant").step


def test_settling_freezes_the_normalization() -> None:
    model = _model()
    thaw_batch_norm(model)
    assert model.get_layer("first").batch_statistics
    settle(model)
    assert not model.get_layer("first").batch_statistics


@pytest.mark.parametrize(
    ("scheme", "keep", "exact"),
    [
        ("int8", None, {"first", "second", "last"}),
        ("int8", {"second": "int16x8"}, {"first"}),
        ("int8", {"second": "float"}, {"first", "last"}),
        ("int16x8", None, set()),
        ("w8", None, set()),
    ],
)
def test_only_8_bits_on_both_sides_are_computed_as_the_kernel_does(
    scheme: str, keep: dict[str, str] | None, exact: set[str]
) -> None:
    model = _model(scheme, keep)
    settle(model)
    linear = [layer for layer in model.layers if isinstance(layer, QuantLinear) and layer.has_steps]
    assert {layer.name for layer in linear if float(layer.output_step) > 0} == exact
    for layer in linear:
        assert np.asarray(layer.weight_step).all(), "the weights' steps are the file's in every scheme"


def test_what_a_tensor_was_quantized_by_is_found_through_copies() -> None:
    model = _model()
    graph = view(model)
    assert quantizer_of(graph, graph.only_input("second")).name == "act_quant"
    assert quantizer_of(graph, "first") is None


def test_a_settled_model_and_its_artifact_agree_to_the_bit() -> None:
    found = compare(net(_body))
    assert found.bounds == [0.0]
    assert found.steps[0].max() == 0


def _dead(x: Any) -> Any:
    """A ReLU that lets nothing through, read by a convolution, a sum and a concatenation."""
    living = layers.Conv2D(4, 1, name="living")(x)
    dead = layers.ReLU(name="dead_act")(layers.Conv2D(4, 1, name="dead")(living))
    after = layers.Conv2D(4, 1, name="after")(dead)
    joined = layers.Concatenate()([dead, layers.Add()([dead, living]), after, layers.Multiply()([dead, after])])
    return layers.Conv2D(3, 1, name="last")(joined)


def test_a_tensor_that_is_always_zero_survives_the_file() -> None:
    model = net(_dead)
    model.get_layer("dead").bias.assign(np.full(4, -100.0, np.float32))
    model.get_layer("after").bias.assign(np.array([3.0, -40.0, 0.5, 7.0], np.float32))
    quantized = calibrated(model)
    assert quantized.get_layer("dead_act_quant").step < 1e-8
    settle(quantized)
    assert quantized.get_layer("dead_act_quant").step > 1e-8
    assert not np.asarray(keras.Model(quantized.input, quantized.get_layer("dead_act_quant").output)(
        images().astype(np.float32), training=False
    )).any()  # fmt: skip
    found = compare_quantized(quantized)
    found.check()
    assert found.facts.float_ops == 0
    assert found.steps[0].max() <= 1


@pytest.mark.parametrize("scheme", ["int8", "int8-per-tensor"])
def test_a_bias_beside_weights_of_next_to_nothing_fits_its_accumulator(scheme: str) -> None:
    model = net(lambda x: layers.Conv2D(4, 1, name="last")(layers.Conv2D(4, 3, name="faint")(x)))
    faint = model.get_layer("faint")
    kernel = np.asarray(faint.kernel).copy()
    kernel[..., :2] = 0.0
    kernel[..., 2] *= 1e-7
    faint.kernel.assign(kernel)
    faint.bias.assign(np.array([2.0, -30.0, 5.0, 0.1], np.float32))
    quantized = calibrated(model, scheme=scheme)
    settle(quantized)
    layer = quantized.get_layer("faint")
    steps = np.asarray(layer.folded()[1]) / (float(layer.input_step) * np.asarray(layer.weight_step))
    assert np.abs(steps).max() <= ACCUMULATOR * 1.001
    found = compare_quantized(quantized, scheme=scheme)
    assert found.bounds == [0.0]
    assert found.steps[0].max() == 0


def test_settling_again_ends_what_the_sums_held() -> None:
    model = calibrated(net(lambda x: layers.Add()([_body(x), layers.Conv2D(3, 10, name="beside")(x)])))
    settle(model)
    infer_in_integers(model)
    settle(model)
    assert {layer.computes for layer in model.layers if hasattr(layer, "computes")} == {BY_STEPS}
