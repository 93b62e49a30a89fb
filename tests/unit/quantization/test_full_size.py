"""Logits at the input's size, rounded as the file rounds them."""

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization import nets

from mobile_seg.quantization.full_size import at_input_size
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.compare import compare
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.tflite_runner import TFLiteRunner

SIZE = (24, 40)


def _net(strides: tuple[int, int] = (8, 8)) -> keras.Model:
    def body(x: keras.KerasTensor) -> keras.KerasTensor:
        x = layers.Conv2D(8, 3, strides=strides[0], padding="same", activation="relu6", name="entry")(x)
        return layers.Conv2D(4, 1, name="logits")(x)

    return nets.net(body, size=SIZE)


def test_a_float_model_is_resized_with_half_pixel_centres() -> None:
    model = _net()
    full = at_input_size(model)
    pixels = nets.images(2, SIZE).astype(np.float32)
    expected = keras.ops.image.resize(model(pixels), SIZE, interpolation="bilinear")
    np.testing.assert_allclose(full(pixels), expected, atol=1e-6)


def test_a_model_that_answers_at_that_size_is_returned_as_it_is() -> None:
    model = _net((1, 1))
    assert at_input_size(model) is model


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "w8", "float16"])
def test_a_quantized_model_keeps_its_grid(scheme: str) -> None:
    model = nets.calibrated(_net(), scheme=scheme)
    settle(model)
    full = at_input_size(model)
    assert full.output_shape == (None, *SIZE, 4)
    quantizers = [layer for layer in full.layers if layer.name.endswith("_quant")]
    if scheme.startswith("int"):
        assert quantizers[-1].get_range() == quantizers[-2].get_range()


def test_an_integer_file_of_that_size_is_its_model_to_the_bit() -> None:
    model = nets.calibrated(_net())
    settle(model)
    for output in ("logits-full", "labels"):
        made = nets.to_int8(model, output=output)
        reference = nets.in_form(model, output)
        runners = (
            KerasRunner(reference, manifest=nets.manifest_of(reference)),
            TFLiteRunner(made.content, manifest=made.manifest),
        )
        found = compare(*runners, nets.images(8, SIZE))
        assert found.argmax == 1.0
        assert found.max_steps is None or found.max_steps < 1e-3, "equal up to the noise of dequantizing"
