"""Lower a small graph and check what comes out: the same numbers, from the vocabulary alone."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from unit.quantization.nets import randomize

from mobile_seg.graph import made_by, view
from mobile_seg.layers import Resize, SpaceToDepth
from mobile_seg.quantization.lower import lower

Body = Callable[[Any], Any]
"""From the input to the last tensor."""

LINEAR = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
STANDING = ("linear", "relu", "relu6", "sigmoid", "softmax", "tanh", "hard_silu")
KNOWN = (
    *LINEAR,
    layers.InputLayer,
    layers.BatchNormalization,
    layers.ReLU,
    layers.Activation,
    layers.Softmax,
    layers.Add,
    layers.Multiply,
    layers.Subtract,
    layers.Concatenate,
    layers.Rescaling,
    layers.GlobalAveragePooling2D,
    layers.UpSampling2D,
    layers.MaxPooling2D,
    layers.ZeroPadding2D,
    layers.Reshape,
    layers.Flatten,
    layers.Dropout,
    SpaceToDepth,
    Resize,
)


def small(body: Body, shape: tuple[int, ...] = (6, 8, 4)) -> keras.Model:
    """A functional model of one input called `image`, with weights that matter."""
    image = keras.Input(shape, name="image")
    model = keras.Model(image, body(image), name="net")
    train_by_chance(model)
    return model


def train_by_chance(model: keras.Model) -> None:
    """Random weights as training could leave them, also in models inside."""
    randomize(model)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.Model) and layer is not model:
            randomize(layer)
        if isinstance(layer, layers.Normalization) and layer.weights:
            layer.adapt_variance.assign(np.linspace(0.5, 2.0, layer.adapt_variance.shape[0]))
            layer.finalize_state()


def values(model: keras.Model) -> list[np.ndarray]:
    """Three random arrays per input."""
    rng = np.random.default_rng(1)
    return [rng.uniform(-3, 3, (3, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def same(model: keras.Model, **options: Any) -> keras.Model:
    """Lower, and compare outputs, names and the vocabulary."""
    before = [array.copy() for array in model.get_weights()]
    lowered = lower(model, **options)
    images = values(model)
    given = images if len(images) > 1 else images[0]
    for one, other in zip(*(keras.tree.flatten(network(given)) for network in (model, lowered)), strict=True):
        assert np.std(one) > 0, "a constant output shows nothing"
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5 * float(np.abs(one).max()))
    assert lowered.name == model.name
    if len(set(model.output_names)) == len(model.output_names):
        assert lowered.output_names == model.output_names
    for one, other in zip(model.inputs, lowered.inputs, strict=True):
        assert made_by(other)[0].name == made_by(one)[0].name
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    check_vocabulary(lowered)
    return lowered


def check_vocabulary(model: keras.Model) -> None:
    """Nothing is left but what the rules may know."""
    graph = view(model)
    for name, layer in graph.layers.items():
        assert type(layer) in KNOWN, f"{name}: {type(layer).__name__}"
        if type(layer) in LINEAR:
            assert layer.activation.__name__ in ("linear", "relu", "relu6"), name
        elif type(layer) is layers.Activation:
            assert layer.activation.__name__ in STANDING, name
        elif type(layer) in (layers.Add, layers.Multiply, layers.Subtract):
            assert len(graph.inputs[name]) == 2, name
        elif type(layer) is layers.BatchNormalization:
            source = graph.layers[graph.only_input(name)]
            assert type(source) in LINEAR, name
            assert source.activation.__name__ == "linear", name
            assert graph.only_consumer(source.name) == name
        elif type(layer) is layers.Rescaling:
            source = graph.layers[graph.only_input(name)]
            assert isinstance(source, layers.InputLayer) or layer.offset == 0.0, name


def kinds(model: keras.Model) -> dict[str, str]:
    """Layer name → its type, or the function of an Activation; the input left out."""
    return {
        layer.name: layer.activation.__name__ if type(layer) is layers.Activation else type(layer).__name__
        for layer in model.layers
        if not isinstance(layer, layers.InputLayer)
    }
