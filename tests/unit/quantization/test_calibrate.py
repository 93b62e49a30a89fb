"""Ranges from images, by numbers worked out by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.quantization.calibrate import calibrate
from mobile_seg.quantization.layers import FakeQuant
from mobile_seg.quantization.rewrite import insert_quantizers


def _doubler() -> keras.Model:
    """Bytes to values -1 .. 0.99, times 2 in one channel, all in quantizers."""
    image = keras.Input((2, 2, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    convolution = layers.Conv2D(1, 1, use_bias=False, name="double")
    model = keras.Model(image, convolution(x), name="doubler")
    convolution.set_weights([np.array([2.0, 0.0, 0.0], np.float32).reshape(1, 1, 3, 1)])
    return insert_quantizers(model)


def _batch(*levels: int) -> np.ndarray:
    """Flat images: level 128 is 0, each 64 more is one more at the doubler's output."""
    return np.stack([np.full((2, 2, 3), level, np.float32) for level in levels])


BATCHES = [_batch(64, 160), _batch(0, 224), _batch(128)]
# Outputs: (-1.0, 0.5), (-2.0, 1.5), (0.0, 0.0).


@pytest.mark.parametrize(("method", "expected"), [("minmax", (-2.0, 1.5)), ("average", (-1.0, 2.0 / 3.0))])
def test_the_range_is_that_of_the_batches(method: str, expected: tuple[float, float]) -> None:
    model = _doubler()
    assert calibrate(model, iter(BATCHES), method=method) == 5
    assert model.get_layer("double_quant").get_range() == pytest.approx(expected, abs=1e-6)


def test_the_inputs_range_stays_that_of_its_bytes() -> None:
    model = _doubler()
    calibrate(model, BATCHES)
    assert model.get_layer("normalize_quant").get_range() == pytest.approx((-1.0, 127 / 128))


def test_activations_quantize_again_afterwards() -> None:
    model = _doubler()
    calibrate(model, BATCHES, method="minmax")
    assert all(layer.observer is None for layer in model.layers if isinstance(layer, FakeQuant))
    assert float(np.asarray(model(_batch(255), training=False)).max()) == pytest.approx(1.5, abs=0.02)


def test_what_cannot_be_calibrated_is_refused_and_leaves_the_model_usable() -> None:
    model = _doubler()
    with pytest.raises(UsageError, match="no image"):
        calibrate(model, [])
    with pytest.raises(UsageError, match=r"method='median'.*average, minmax"):
        calibrate(model, BATCHES, method="median")
    with pytest.raises(UsageError, match="insert_quantizers first"):
        calibrate(keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(1, 1)]), BATCHES)
    model.get_layer("double").kernel.assign(np.full((1, 1, 3, 1), np.nan, np.float32))
    with pytest.raises(UsageError, match="double_quant is not finite"):
        calibrate(model, BATCHES)
    assert model.get_layer("double_quant").get_range() == (0.0, 1.0)
    assert model.get_layer("double_quant").observer is None
