"""Whole graphs: models inside models, bare operations, what is refused, and networks that people use."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from unit.quantization.lowered import check_vocabulary, kinds, same, small, train_by_chance, values

from mobile_seg.bare_operations import OPERATIONS
from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import view
from mobile_seg.models import registry
from mobile_seg.quantization.lower import lower


def _conv(x: Any, name: str = "conv", **config: Any) -> Any:
    return layers.Conv2D(4, 1, name=name, **config)(x)


def _inner(name: str = "inner", layer: str = "conv") -> keras.Model:
    x = keras.Input((6, 8, 4), name="image")
    return keras.Model(x, layers.BatchNormalization(name="bn")(_conv(x, layer)), name=name)


# Models inside


def test_an_inner_model_is_its_layers() -> None:
    model = small(lambda x: layers.ReLU(name="relu")(_inner()(x)))
    lowered = same(model)
    assert kinds(lowered) == {"conv": "Conv2D", "bn": "BatchNormalization", "relu": "ReLU"}
    np.testing.assert_array_equal(lowered.get_layer("conv").kernel, model.get_layer("inner").get_layer("conv").kernel)


def test_names_that_collide_get_the_models_name() -> None:
    model = small(lambda x: _inner("two", "other")(_inner("one")(_conv(x))))
    names = ["conv", "one_conv", "bn", "other", "two_bn", "two"]
    assert list(kinds(same(model))) == names, "the last is the name of the output"


def test_a_model_inside_a_model_inside_a_model() -> None:
    x = keras.Input((6, 8, 4))
    middle = keras.Model(x, layers.ReLU(name="relu")(_inner()(x)), name="middle")
    assert list(kinds(same(small(lambda x: _conv(middle(x), "last"))))) == ["conv", "bn", "relu", "last"]


def test_a_sequential_model_counts_inside_and_outside() -> None:
    inside = keras.Sequential([keras.Input((6, 8, 4)), layers.Conv2D(3, 1, name="a"), layers.ReLU(name="b")])
    assert list(kinds(same(small(lambda x: _conv(inside(x)))))) == ["a", "b", "conv"]
    outside = keras.Sequential([keras.Input((6, 8, 4)), layers.Conv2D(3, 1, activation="silu", name="a")], name="seq")
    train_by_chance(outside)
    lowered = lower(outside)
    (images,) = values(outside)
    np.testing.assert_allclose(lowered(images), outside(images), rtol=1e-5, atol=1e-5)
    assert lowered.name == "seq"


def test_an_inner_model_with_several_inputs_and_outputs() -> None:
    one, other = keras.Input((6, 8, 4), name="one"), keras.Input((6, 8, 4), name="other")
    pair = keras.Model([one, other], [_conv(one, "a"), layers.Add(name="b")([one, other])], name="pair")

    def body(x: Any) -> Any:
        first, second = pair([layers.ReLU(name="relu")(x), x])
        return layers.Subtract(name="difference")([second, first])

    graph = view(same(small(body)))
    assert graph.inputs["difference"] == ("b", "a")
    assert graph.inputs["b"] == ("relu", "image")


def test_a_layer_called_several_times_becomes_one_per_call() -> None:
    def body(x: Any) -> Any:
        shared = layers.Conv2D(4, 3, padding="same", name="shared")
        return layers.ReLU(name="last")(shared(layers.ReLU()(shared(x))))

    lowered = same(small(body))
    assert {"shared", "shared_2"} <= {layer.name for layer in lowered.layers}
    one, two = (lowered.get_layer(name) for name in ("shared", "shared_2"))
    np.testing.assert_array_equal(one.kernel, two.kernel)


def test_a_shared_layer_may_be_each_of_the_outputs() -> None:
    def body(x: Any) -> Any:
        shared = layers.Conv2D(4, 1, name="shared")
        return [shared(x), shared(layers.MaxPooling2D()(x))]

    lowered = same(small(body))
    assert [tensor.shape for tensor in lowered.outputs] == [tensor.shape for tensor in small(body).outputs]


def test_an_inner_model_called_twice_is_there_twice() -> None:
    def body(x: Any) -> Any:
        inner = _inner()
        return inner(inner(x))

    same(small(body))


def test_a_layer_shared_with_an_inner_model_is_there_twice() -> None:
    def body(x: Any) -> Any:
        layer = layers.Conv2D(4, 1, name="odd")
        inside = keras.Input((6, 8, 4))
        return keras.Model(inside, layer(inside))(layer(x))

    same(small(body))


def test_several_inputs_and_outputs_keep_name_and_order() -> None:
    one, other = keras.Input((6, 8, 4), name="z"), keras.Input((6, 8, 4), name="a")
    x = _conv(one, activation="silu")
    outputs = [layers.Rescaling(2.0, offset=1.0, name="late")(x), _inner("early", "c")(other), ops.add(x, other)]
    model = keras.Model([one, other], outputs, name="net")
    train_by_chance(model)
    lowered = same(model)
    assert lowered.output_names[:2] == ["late", "early"]
    assert [tensor.name for tensor in lowered.inputs] == ["z", "a"]


def test_what_does_not_train_inside_does_not_train_afterwards() -> None:
    inner = _inner()
    inner.trainable = False
    lowered = lower(small(lambda x: _conv(inner(x, training=False), "head")))
    assert [weight.path for weight in lowered.trainable_weights] == ["head/kernel", "head/bias"]


def test_a_normalization_inside_keeps_what_it_learned() -> None:
    x = keras.Input((6, 8, 4))
    norm = layers.Normalization(name="norm")
    norm.adapt(np.random.default_rng(0).normal(5.0, 3.0, (4, 6, 8, 4)))
    inner = keras.Model(x, _conv(norm(x)), name="inner")
    image = keras.Input((6, 8, 4), name="image")
    model = keras.Model(image, inner(image))
    (images,) = values(model)
    np.testing.assert_allclose(lower(model)(images), model(images), rtol=1e-4, atol=1e-5)


# Bare operations

ARRAY = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
BARE: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "add": (lambda x: x + 3.0, ["Conv2D", "linear"]),
    "add to": (lambda x: 3.0 + x, ["Conv2D", "linear"]),
    "add channels": (lambda x: x + ARRAY, ["Conv2D", "linear"]),
    "add a tensor": (lambda x: x + ops.convert_to_tensor(ARRAY), ["Conv2D", "linear"]),
    "subtract": (lambda x: x - 1, ["Conv2D", "linear"]),
    "subtract from": (lambda x: 1.0 - x, ["Conv2D", "linear"]),
    "multiply": (lambda x: x * ARRAY, ["Conv2D", "linear"]),
    "divide": (lambda x: x / ARRAY, ["Conv2D", "linear"]),
    "ops.divide": (lambda x: ops.divide(x, 4.0), ["Conv2D", "linear"]),
    "negative": (lambda x: -x, ["Conv2D", "linear"]),
    "behind an activation": (lambda x: ops.relu(x) * 0.25, ["Conv2D", "relu", "Rescaling"]),
    "add two": (lambda x: x + ops.sigmoid(x), ["Conv2D", "sigmoid", "Add"]),
    "subtract two": (lambda x: x - ops.tanh(x), ["Conv2D", "tanh", "Subtract"]),
    "multiply two": (lambda x: ops.multiply(x, x), ["Conv2D", "Multiply"]),
    "relu6": (ops.relu6, ["Conv2D", "relu6"]),
    "silu": (ops.silu, ["Conv2D", "sigmoid", "Multiply"]),
    "hard_sigmoid": (ops.hard_sigmoid, ["Conv2D", "ReLU"]),
    "hard_silu": (ops.hard_silu, ["Conv2D", "hard_silu"]),
    "softmax": (ops.softmax, ["Conv2D", "softmax"]),
    "activations.relu": (lambda x: keras.activations.relu(x, max_value=6), ["Conv2D", "ReLU"]),
    "mean": (lambda x: ops.mean(x, axis=(1, 2)), ["Conv2D", "GlobalAveragePooling2D"]),
    "mean kept": (lambda x: ops.mean(x, axis=[-3, -2], keepdims=True), ["Conv2D", "GlobalAveragePooling2D"]),
    "concatenate": (lambda x: ops.concatenate([x, x], axis=-1), ["Conv2D", "Concatenate"]),
    "reshape": (lambda x: ops.reshape(x, (-1, 3, 16, 4)), ["Conv2D", "Reshape"]),
    "mobilenet's gate": (lambda x: x * (layers.ReLU(6.0)(x + 3.0) * (1 / 6)), None),
}


@pytest.mark.parametrize("case", BARE)
def test_a_bare_operation_becomes_layers(case: str) -> None:
    body, expected = BARE[case]
    found = kinds(same(small(lambda x: body(_conv(x)))))
    assert sorted(found.values()) == sorted(expected or ["Conv2D", "DepthwiseConv2D", "ReLU", "Rescaling", "Multiply"])


def test_every_operation_in_the_table_is_tried_above() -> None:
    tried = set()
    for body, _ in BARE.values():
        tried |= {type(op) for op in small(lambda x, body=body: body(_conv(x))).operations}
    assert set(OPERATIONS) <= tried


# Refused


def _bytes_inside(x: Any) -> Any:
    inside = keras.Input((6, 8, 4), dtype="uint8")
    return keras.Model(inside, layers.Rescaling(0.5)(inside), name="odd")(x)


class _Doubling(keras.Model):
    def call(self, x: Any, training: bool = False) -> Any:
        return super().call(x) * 2


def _overriding(x: Any) -> Any:
    inside = keras.Input((6, 8, 4))
    return _Doubling(inside, layers.ReLU()(inside), name="odd")(x)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "bare keras.ops call (Exp) with no layer that stands for it; build this part from keras.layers": ops.exp,
    "bare keras.ops call (TrueDivide) with no layer that divides by a tensor": lambda x: x / ops.relu(x),
    "bare keras.ops call (TrueDivide) with no layer that divides": lambda x: 1.0 / x,
    "bare keras.ops call (Softmax) with no kernel over axis 1": lambda x: ops.softmax(x, axis=1),
    "bare keras.ops call (Mean) with no layer for a mean over axes [3]": lambda x: ops.mean(x, axis=3),
    "bare keras.ops call (Mean) with no layer for a mean over axes None": lambda x: ops.mean(x),
    "bare keras.ops call (Reshape) with no layer unless all sizes but the batch": lambda x: ops.reshape(x, (-1, 4)),
    "bare keras.ops call (Concatenate) with no layer unless it joins": lambda x: ops.concatenate([x]),
    "bare keras.ops call (Add) with a variable in it": lambda x: x + keras.Variable(np.ones(4), name="free"),
    "bare keras.ops call (Multiply) with no layer for ranks 4 and 2": lambda x: x * ops.mean(x, axis=(1, 2)),
    "bare keras.ops call (Multiply) with a constant of shape (5, 1, 1, 1, 1)": lambda x: x * np.ones((5, 1, 1, 1, 1)),
    "(Rescaling) has numbers of shape (6, 1, 1), which differ between rows": lambda x: (
        x * np.arange(6.0).reshape(6, 1, 1)
    ),
    "odd casts its input to integers; give it a float keras.Input": _bytes_inside,
    "odd is not a functional Keras model; build it with keras.Model(inputs, outputs)": _overriding,
    "layer odd (BatchNormalization) normalizes axis 1; integer kernels need the last": lambda x: (
        layers.BatchNormalization(axis=1, name="odd")(x)
    ),
    "layer odd has no linear layer without activation in front": lambda x: layers.BatchNormalization(name="odd")(
        layers.Dense(3, activation="relu")(layers.Flatten()(x))
    ),
    "layer odd shifts or scales channels, with no linear layer in front to take that in": lambda x: layers.Rescaling(
        1.0, offset=2.0, name="odd"
    )(layers.ReLU()(layers.Flatten()(x))),
    "layer odd scales the channels of the input apart; integer kernels can do so on [N, H, W, C]": lambda x: x,
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_said_in_the_vocabulary_is_refused(message: str) -> None:
    if "scales the channels of the input" in message:
        model = small(lambda x: layers.Rescaling([1.0, 2.0], name="odd")(x), shape=(2,))
    else:
        model = small(lambda x: REFUSED[message](layers.ReLU(name="relu")(x)))
    with pytest.raises(UnsupportedLayerError) as caught:
        lower(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Whole networks


@pytest.mark.parametrize("activation", ["relu6", "relu", "hard_swish"])
def test_mobile_spinenet_comes_through_layer_for_layer(activation: str) -> None:
    model = registry.build("mobile_spinenet_s49_minus", input_size=(64, 64), classes=3, activation=activation)
    lowered = lower(model)
    assert [type(layer) for layer in lowered.layers] == [type(layer) for layer in model.layers]
    assert [layer.get_config() for layer in lowered.layers] == [layer.get_config() for layer in model.layers]
    assert view(lowered).inputs == view(model).inputs
    for one, other in zip(lowered.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    check_vocabulary(lowered)


def test_lowering_twice_changes_nothing_more() -> None:
    once = same(small(lambda x: layers.BatchNormalization(name="bn")(_conv(x, activation="hard_sigmoid"))))
    assert kinds(lower(once)) == kinds(once)


@pytest.mark.slow
@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet50"])
def test_networks_that_people_use_lower_to_the_vocabulary(name: str, integers: bool) -> None:
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None)
    train_by_chance(model)
    same(model, integers=integers)
