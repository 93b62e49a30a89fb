"""Reading and rebuilding functional graphs, and what is refused."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import call, copy_layer, rebuild, view


def _branching() -> keras.Model:
    """image → a → {b, c} → sum → last; `a` is returned too."""
    image = keras.Input((4, 4, 3), name="image")
    a = layers.Conv2D(2, 1, name="a")(image)
    b, c = layers.ReLU(name="b")(a), layers.Conv2D(2, 1, name="c")(a)
    last = layers.Conv2D(1, 1, name="last")(layers.Add(name="sum")([b, c]))
    return keras.Model(image, [last, a], name="branching")


def test_the_view_tells_who_feeds_whom() -> None:
    graph = view(_branching())
    assert graph.order[0] == "image"
    assert graph.order.index("sum") > max(graph.order.index("b"), graph.order.index("c"))
    assert graph.inputs["sum"] == ("b", "c")
    assert sorted(graph.consumers["a"]) == ["b", "c"]
    assert graph.outputs == ("last", "a")
    assert graph.only_consumer("sum") == "last"
    assert graph.only_consumer("a") is None, "two readers"
    assert graph.only_consumer("last") is None, "returned by the model"
    assert graph.only_input("c") == "a"


def test_a_layer_that_the_model_returns_has_no_only_consumer() -> None:
    image = keras.Input((4, 4, 3), name="image")
    a = layers.Conv2D(2, 1, name="a")(image)
    assert view(keras.Model(image, [layers.ReLU(name="b")(a), a])).only_consumer("a") is None
    assert view(keras.Model(image, layers.ReLU(name="c")(a))).only_consumer("a") == "c"


def test_a_tensor_read_twice_by_one_layer_has_two_readers() -> None:
    image = keras.Input((4, 4, 3), name="image")
    a = layers.Conv2D(2, 1, name="a")(image)
    graph = view(keras.Model(image, layers.Add(name="sum")([a, a])))
    assert graph.consumers["a"] == ("sum", "sum")
    assert graph.only_consumer("a") is None


def test_rebuilding_layer_by_layer_gives_the_same_model() -> None:
    model = _branching()

    def emit(layer: Any, *inputs: Any) -> Any:
        copy = copy_layer(layer)
        output = call(copy, *inputs)
        copy.set_weights(layer.get_weights())
        return output

    again = rebuild(model, emit, name="again")
    assert again.name == "again"
    assert view(again).inputs == view(model).inputs
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    for one, other in zip(again(x), model(x), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.get_layer("a") is not model.get_layer("a")


def test_a_layer_used_in_another_model_too_is_no_second_call() -> None:
    image = keras.Input((4, 4, 3))
    a, b = layers.Conv2D(2, 1, name="a")(image), keras.Input((4, 4, 2))
    whole = keras.Model(image, layers.ReLU(name="act")(a))
    whole.get_layer("act")(b)
    assert view(whole).only_consumer("a") == "act"


class _Split(layers.Layer):
    def call(self, x: Any) -> Any:
        return ops.split(x, 2, axis=-1)


class _Scaled(layers.Layer):
    def call(self, x: Any, factor: float = 1.0) -> Any:
        return x * factor


class _Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def _functional(body: Any) -> keras.Model:
    image = keras.Input((4, 4, 4), name="image")
    return keras.Model(image, body(image), name="model")


def _twice(x: Any) -> Any:
    layer = layers.Conv2D(4, 1, name="odd")
    return layer(layer(x))


def _nested(x: Any) -> Any:
    inner = keras.Input((4, 4, 4))
    return keras.Model(inner, layers.ReLU()(inner), name="odd")(x)


REFUSED = {
    "is called 2 times; give each call a layer of its own": lambda: _functional(_twice),
    "odd is a model inside the model; call its layers directly": lambda: _functional(_nested),
    "is a bare keras.ops call (Add); use a layer": lambda: _functional(lambda x: layers.ReLU()(x) + x),
    "is a bare keras.ops call (Multiply); use a layer": lambda: _functional(lambda x: layers.ReLU()(x) * 2.0),
    "odd is called with factor; call it with one tensor": lambda: _functional(
        lambda x: _Scaled(name="odd")(x, factor=2.0)
    ),
    "odd is called with 2 arguments; call it with one tensor": lambda: _functional(
        lambda x: layers.MultiHeadAttention(1, 2, name="odd")(x, x)
    ),
    "odd returns 2 tensors; use layers that return one": lambda: _functional(lambda x: _Split(name="odd")(x)[0]),
    "odd is not a functional Keras model; build it with keras.Model(inputs, outputs)": lambda: keras.Sequential(
        [keras.Input((4, 4, 4)), layers.ReLU()], name="odd"
    ),
    "subclassed is not a functional Keras model": lambda: _Subclassed(name="subclassed"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_rebuilt_is_refused(message: str) -> None:
    with pytest.raises(UnsupportedLayerError) as caught:
        view(REFUSED[message]())
    assert message in str(caught.value)
