"""Half-precision weights rounded together: on the grid, never worse than the nearest, and nobody else's."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import images, net

from mobile_seg.converters.coreml.graph import plain_graph
from mobile_seg.converters.coreml.rounding import round_together, rounded_row


def _error(row: np.ndarray, made: np.ndarray, moments: np.ndarray) -> float:
    return float((row - made) @ moments @ (row - made))


def test_alike_inputs_let_weights_make_up_for_each_other() -> None:
    rng = np.random.default_rng(0)
    inputs = 1.0 + 0.05 * rng.normal(size=(4000, 28))
    moments = inputs.T @ inputs / len(inputs)
    errors = []
    for _ in range(20):
        row = rng.normal(0.0, 2.0, 28)
        made, nearest = rounded_row(row, moments), row.astype(np.float16).astype(np.float64)
        np.testing.assert_array_equal(made, made.astype(np.float16))
        errors.append([_error(row, made, moments), _error(row, nearest, moments)])
    together, apart = np.sum(errors, axis=0)
    assert together < apart / 20


def test_it_is_never_worse_than_the_nearest() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        inputs = rng.normal(size=(200, 9)) @ rng.normal(size=(9, 9))
        moments, row = inputs.T @ inputs / 200, rng.normal(size=9)
        nearest = row.astype(np.float16).astype(np.float64)
        assert _error(row, rounded_row(row, moments), moments) <= _error(row, nearest, moments)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e2, 1e6])
def test_inputs_that_are_all_the_same_are_rounded_for(scale: float) -> None:
    rng = np.random.default_rng(2)
    inputs = np.concatenate([np.ones((200, 1)), scale * np.outer(3.0 + rng.normal(size=200), np.ones(144))], axis=1)
    moments, row = inputs.T @ inputs / 200, rng.normal(size=145)
    nearest = row.astype(np.float16).astype(np.float64)
    assert _error(row, rounded_row(row, moments), moments) < _error(row, nearest, moments) / 2


def test_weights_whose_inputs_overflow_are_the_nearest() -> None:
    row = np.random.default_rng(3).normal(size=4)
    np.testing.assert_array_equal(rounded_row(row, np.full((4, 4), np.inf)), row.astype(np.float16))


def test_what_is_too_large_for_half_precision_becomes_its_largest_number() -> None:
    made = rounded_row(np.array([0.1, -70000.0, 0.3]), np.eye(3))
    np.testing.assert_array_equal(made, np.array([0.1, -65504.0, 0.3], np.float16))


def _body(x: Any) -> Any:
    x = layers.Rescaling(1 / 128, offset=-1.0)(x)
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="stem")(x))
    x = layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="mix", depth_multiplier=2)(layers.ReLU(6)(x))
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Add()([x, layers.BatchNormalization(center=False)(layers.Conv2D(12, 1, name="point")(x))])
    return layers.Conv2D(5, 1, name="logits")(x)


def test_a_folded_graph_is_its_model_with_weights_of_its_own() -> None:
    model = net(_body, size=(16, 20))
    before = [np.copy(weight) for weight in model.get_weights()]
    graph, preprocessing = plain_graph(model, folded=True)
    assert not [layer for layer in graph.layers if isinstance(layer, layers.BatchNormalization) and layer.name == "mix"]
    shown = images(size=(16, 20)).astype(np.float32)
    given = shown * preprocessing.scale + np.float32(preprocessing.bias)
    np.testing.assert_allclose(graph(given), model(shown), rtol=1e-4, atol=1e-4)
    round_together(graph, [given])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for layer in graph.layers:
        if hasattr(layer, "kernel"):
            for weight in layer.get_weights():
                np.testing.assert_array_equal(weight, weight.astype(np.float16), err_msg=layer.name)


@pytest.mark.parametrize("name", ["stem", "mix", "point"])
def test_the_sums_of_a_layer_err_less_than_with_nearest_weights(name: str) -> None:
    model = net(_body, size=(16, 20))
    shown = images(size=(16, 20)).astype(np.float32) / 128 - 1
    exact, _ = plain_graph(model, folded=True)
    made, _ = plain_graph(model, folded=True)
    round_together(made, [shown])
    given = keras.Model(exact.input, exact.get_layer(name).input)(shown)
    wanted = np.asarray(exact.get_layer(name)(given), np.float64)
    together = np.asarray(made.get_layer(name)(given), np.float64)
    made.get_layer(name).set_weights([w.astype(np.float16) for w in exact.get_layer(name).get_weights()])
    nearest = np.asarray(made.get_layer(name)(given), np.float64)
    assert np.mean((together - wanted) ** 2) < 0.7 * np.mean((nearest - wanted) ** 2)


def test_convolutions_in_groups_and_shared_ones_are_passed() -> None:
    shared = layers.Conv2D(6, 3, padding="same", name="shared")

    def body(x: Any) -> Any:
        x = shared(layers.Conv2D(6, 3, groups=3, padding="same", name="groups")(x))
        return layers.Conv2D(5, 1, name="logits")(shared(x))

    graph, _ = plain_graph(net(body, size=(16, 20)), folded=True)
    kept = graph.get_layer("groups").get_weights()
    round_together(graph, [images(size=(16, 20)).astype(np.float32) / 128 - 1])
    for before, after in zip(kept, graph.get_layer("groups").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert all(np.array_equal(one, one.astype(np.float16)) for one in graph.get_layer("logits").get_weights())
