"""The promise to people who never heard of this package's networks: those of keras.applications, from end to end."""

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.bounds import error_bounds
from unit.quantization.nets import images, run

import mobile_seg
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import UsageError
from mobile_seg.profiling.static import inspect_tflite
from mobile_seg.quantization import quantize
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.fake_quant import FakeQuant

SIZE = (64, 64)
CLASSES = 10
SHOWN = images(8, SIZE)

NETWORKS = {"MobileNetV2": True, "MobileNetV3Small": False, "EfficientNetB0": False, "ResNet50": True}
"""Network → whether all kernels in front of its last mean are exact. Else means and gates stand in every block; each
rounds a tie otherwise once in a million values, and the bound, all at their worst, says nothing any more."""


def _network(name: str) -> keras.Model:
    """Random weights, normalized by the statistics of their own activations, as training leaves them."""
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(*SIZE, 3), classes=CLASSES, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(SHOWN.astype(np.float32), training=True)
    return model


def _as_input(model: keras.Model) -> np.ndarray:
    """The file's int8 input: bytes where the model rescales them itself, else what the input's quantizer holds."""
    first = next(layer for layer in model.layers if isinstance(layer, FakeQuant))
    if first.fixed_range:
        return (SHOWN ^ 0x80).view(np.int8)
    integers = np.floor(SHOWN / first.step + 0.5) + first.zero_point
    return np.clip(integers - 128, -128, 127).astype(np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_trains_and_ships_what_it_trained(name: str) -> None:
    pixels = SHOWN.astype(np.float32)
    quantized = quantize(_network(name), [pixels])
    quantized.compile(
        optimizer=keras.optimizers.SGD(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = [np.asarray(variable).copy() for variable in quantized.trainable_variables]
    assert np.isfinite(quantized.train_on_batch(pixels, np.arange(len(pixels)) % CLASSES))
    moved = [
        np.abs(np.asarray(now) - then).max() > 0
        for now, then in zip(quantized.trainable_variables, before, strict=True)
    ]
    assert np.mean(moved) > 0.9
    content = mobile_seg.to_tflite(quantized)
    facts = inspect_tflite(content)
    assert facts.float_ops == 0
    assert facts.quantize_ops == 0
    made = convert_graph(deploy_graph(quantized))
    assert Counter(one.reason for one in made.conversions) == {}
    assert made.content == content, "the same bytes each time"
    ((integers, (scale, zero_point)),) = run(content, _as_input(quantized))
    expected = np.asarray(quantized(pixels, training=False)) / scale + zero_point
    steps = np.abs(integers - np.round(expected))
    assert len(np.unique(integers)) > 20, "the logits say something"
    bound = error_bounds(quantized, SHOWN)[0] / scale
    assert steps.max() <= bound
    # A mean's step in each of up to 2048 inputs of the last layer, all of one sign.
    assert not NETWORKS[name] or bound < 50
    assert steps.max() == 0, "no tie falls otherwise on these images"


def _small() -> keras.Model:
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(image)))
    model = keras.Model(image, layers.Dense(CLASSES)(layers.Flatten()(x)))
    return model


@pytest.mark.parametrize(
    ("scheme", "io", "ends"),
    [
        ("int8", "int8", ("int8", "int8")),
        ("int8", "uint8", ("uint8", "int8")),
        ("int8", "float", ("float32", "float32")),
        ("int16x8", "int8", ("int16", "int16")),
        ("w8", "int8", ("float32", "float32")),
        ("w8", "uint8", ("uint8", "float32")),
        ("float16", "float", ("float32", "float32")),
    ],
)
def test_the_ends_are_as_asked(scheme: str, io: str, ends: tuple[str, str]) -> None:
    shown = images(4, (8, 8))
    facts = inspect_tflite(mobile_seg.to_tflite(quantize(_small(), [shown.astype(np.float32)], scheme=scheme), io=io))
    assert (facts.inputs[0].dtype, facts.outputs[0].dtype) == ends
    assert (facts.float_ops == 0) is ("float32" not in ends)


def test_several_inputs_and_outputs_keep_their_order() -> None:
    one, other = (keras.Input((8, 8, 2), name=name) for name in ("one", "other"))
    x = layers.Add(name="sum")([layers.Conv2D(3, 1, name="left")(one), layers.Conv2D(3, 1, name="right")(other)])
    model = keras.Model([one, other], [layers.Conv2D(5, 1, name="five")(x), layers.Conv2D(2, 1, name="two")(x)])
    quantized = quantize_two(model)
    facts = inspect_tflite(mobile_seg.to_tflite(quantized))
    assert [fact.shape for fact in facts.inputs] == [(1, 8, 8, 2), (1, 8, 8, 2)]
    assert [fact.shape for fact in facts.outputs] == [(1, 8, 8, 5), (1, 8, 8, 2)]
    assert facts.float_ops == 0


def quantize_two(model: keras.Model) -> Any:
    """Ranges of a model of two inputs, which no batch of images has."""
    from mobile_seg.quantization.rewrite import insert_quantizers

    quantized = insert_quantizers(model)
    for layer in quantized.layers:
        if isinstance(layer, FakeQuant):
            layer.set_range(-1.0, 1.0)
    return quantized


def test_what_is_not_quantized_or_has_no_size_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no quantizers; quantize it first"):
        mobile_seg.to_tflite(_small())
    image = keras.Input((None, None, 3), name="image")
    free = quantize(keras.Model(image, layers.Conv2D(4, 3)(image), name="free"), [images(2).astype(np.float32)])
    with pytest.raises(UsageError, match=r"takes \(None, None, None, 3\); a file has one size: build it"):
        mobile_seg.to_tflite(free)
    with pytest.raises(UsageError, match="io='int16'"):
        mobile_seg.to_tflite(free, io="int16")
