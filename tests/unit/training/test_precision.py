"""Mixed precision: the arithmetic is bfloat16, the weights and what is saved are float32."""

import keras
import numpy as np
import pytest
from unit.training import tiny

from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.precision import dtype_policy, in_float32
from mobile_seg.training.recipe import optimizer


def test_the_policy_before_comes_back_even_after_an_error() -> None:
    assert keras.config.dtype_policy().name == "float32"
    seen = []

    def fail() -> None:
        seen.append(keras.config.dtype_policy().name)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), dtype_policy(mixed=True):
        fail()
    assert seen == ["mixed_bfloat16"]
    assert keras.config.dtype_policy().name == "float32"


def test_mixed_training_learns_and_gives_a_float32_model() -> None:
    with dtype_policy(mixed=True):
        model = tiny.network()
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"bfloat16"}
    assert {variable.dtype for variable in model.variables if "seed" not in variable.path} == {"float32"}
    model.compile(optimizer=optimizer(tiny.RECIPE, model.trainable_variables), loss=SegmentationLoss())
    losses = []
    for step in range(20):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*tiny.batch(step))))
    assert losses[-1] < 0.9 * losses[0]

    plain = in_float32(model, tiny.network)
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    for found, expected in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    images, _ = tiny.batch(99)
    rough = np.asarray(model.predict_on_batch(images)).astype(np.float32)
    exact = plain.predict_on_batch(images)
    # bfloat16 keeps 8 bits: logits of a few units agree to a few hundredths.
    np.testing.assert_allclose(rough, exact, atol=0.02 * np.abs(exact).max())
