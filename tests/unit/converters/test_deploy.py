"""The graph that is converted: the same values, from layers that runtimes read best."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import compare, images, logits, net

from mobile_seg.converters.deploy import Resize, deploy_graph
from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.layers import SpaceToDepth


def _everything(x: Any) -> Any:
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, padding="same", name="conv")(x))
    x = layers.GaussianNoise(0.5, name="noise")(layers.SpatialDropout2D(0.5, name="spatial")(x))
    mean = layers.UpSampling2D((12, 12), name="spread")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    twice = layers.UpSampling2D(2, name="twice")(layers.MaxPooling2D(2)(layers.Dropout(0.5, name="dropout")(x)))
    return layers.UpSampling2D(2, interpolation="bilinear", name="smooth")(layers.Concatenate()([mean, twice]))


def test_the_values_are_the_same_to_rounding() -> None:
    model = net(_everything)
    np.testing.assert_allclose(
        logits(deploy_graph(model, strip_rescaling=False), images()), logits(model, images()), atol=1e-5
    )


def test_layers_of_training_vanish_and_upsampling_becomes_a_resize() -> None:
    deployed = deploy_graph(net(_everything), strip_rescaling=False)
    names = {layer.name for layer in deployed.layers}
    assert names.isdisjoint({"noise", "spatial", "dropout"})
    assert {"conv", "bn"} <= names
    assert not any(isinstance(layer, layers.UpSampling2D) for layer in deployed.layers)
    resizes = {layer.name: (layer.size, layer.interpolation) for layer in deployed.layers if isinstance(layer, Resize)}
    # From one pixel both kinds are the same; XNNPACK has the bilinear one.
    assert resizes == {
        "spread": ((12, 12), "bilinear"), "twice": ((12, 12), "nearest"), "smooth": ((24, 24), "bilinear"),
    }  # fmt: skip


def test_only_the_leading_rescaling_is_stripped() -> None:
    model = net(lambda x: layers.Rescaling(3.0, name="inside")(x))
    stripped = deploy_graph(model, strip_rescaling=True)
    assert [layer.name for layer in stripped.layers] == ["image", "inside"]
    pixels = images()
    np.testing.assert_allclose(
        np.asarray(stripped((pixels.astype(np.float32) - 128) / 128)), logits(model, pixels), atol=1e-6
    )


def test_it_computes_in_float32() -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 1, dtype="mixed_float16")(image))
    assert {layer.compute_dtype for layer in deploy_graph(model, strip_rescaling=False).layers} == {"float32"}


@pytest.mark.parametrize("options", [{"interpolation": "bicubic"}, {"data_format": "channels_first"}], ids=str)
def test_an_upsampling_no_runtime_has_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"layer odd upsamples by .*: build it so"):
        deploy_graph(net(lambda x: layers.UpSampling2D(2, name="odd", **options)(x)), strip_rescaling=False)


def test_the_resize_saves_and_loads() -> None:
    layer = Resize((4, 6), "nearest", name="up")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (again.size, again.interpolation, again.name) == ((4, 6), "nearest", "up")
    assert layer.compute_output_shape((None, 2, 3, 5)) == (None, 4, 6, 5)


def test_space_to_depth_is_one_operation() -> None:
    def body(x: Any) -> Any:
        return layers.Conv2D(3, 1)(SpaceToDepth(2)(layers.Conv2D(4, 3, padding="same")(x)))

    found = compare(net(body))
    assert dict(found.facts.ops) == {"QUANTIZE": 1, "CONV_2D": 2, "SPACE_TO_DEPTH": 1}
    assert max(steps.max() for steps in found.steps) == 0


def test_space_to_depth_in_16_bits_is_said_in_changes_of_layout() -> None:
    def body(x: Any) -> Any:
        return layers.Conv2D(3, 1)(SpaceToDepth(2)(layers.Conv2D(4, 3, padding="same")(x)))

    found = compare(net(body), scheme="int16x8")
    found.check()
    assert found.facts.float_ops == 0
    assert "SPACE_TO_DEPTH" not in dict(found.facts.ops)
