"""Every network, and every family under each of its heads, through the whole chain.

Built, trained a little, saved, quantized, exported, compared with itself.

Small inputs, few classes and small rates; every layer, connection and rewrite is the real one.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from unit.quantization import nets

import mobile_seg
from mobile_seg.converters import tflite
from mobile_seg.converters.tflite import convert_graph
from mobile_seg.errors import UsageError
from mobile_seg.models.cost import count
from mobile_seg.models.entry import Entry
from mobile_seg.models.registry import ENTRIES, build, find
from mobile_seg.profiling.static import GraphFacts, inspect_tflite
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.settle import settle

pytestmark = pytest.mark.slow  # test_mobile_spinenet takes one of them through the chain with the fast tests

CLASSES = 5
FOREIGN = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "TILE", "TRANSPOSE", "GATHER", "GATHER_ND")
"""Operations that part a graph on phones; none of ours needs them."""

SMALL_RATES = {"deeplabv3": (1, 2), "deeplabv3plus": (1, 2), "panoptic": (1, 2)}
"""Heads whose rates would reach past a small image."""


@dataclass(frozen=True)
class Case:
    """A network and a head."""

    entry: Entry
    head: str

    @property
    def size(self) -> tuple[int, int]:
        """A small input, wider than high where that is no larger than 128."""
        side = max(64, self.entry.input_multiple)
        return (side, side)

    def build(self, **options: Any) -> keras.Model:
        """The network at that size."""
        if self.head in SMALL_RATES:
            options["aspp_rates"] = SMALL_RATES[self.head]
        return build(self.entry.name, input_size=self.size, classes=CLASSES, head=self.head, **options)


FIRST = tuple({entry.family: entry for entry in reversed(ENTRIES)}.values())
"""One network of each family, which is tried under every head; the others under their own first one."""

CASES = [
    pytest.param(Case(entry, head), id=f"{entry.name}-{head}")
    for entry in ENTRIES
    for head in (entry.heads if entry in FIRST else entry.heads[:1])
]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """A network and a head."""
    return request.param


@pytest.fixture(scope="module")
def float_model(case: Case) -> keras.Model:
    """The network as training could have left it."""
    keras.utils.set_random_seed(0)
    return nets.as_if_trained(case.build())


@pytest.fixture(scope="module")
def quantized_model(float_model: keras.Model) -> keras.Model:
    """The network quantized after training: ranges from images, biases on their grid."""
    model = nets.calibrated(float_model)
    settle(model)
    return model


def outputs(model: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    """All outputs of a Keras model on a batch of bytes."""
    found = model(pixels.astype(np.float32), training=False)
    return [np.asarray(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


def test_outputs_are_finite_and_depend_on_the_image(case: Case, float_model: keras.Model) -> None:
    for made in outputs(float_model, nets.images(2, case.size)):
        assert np.isfinite(made).all()
        assert np.abs(made[0] - made[1]).max() > 0.01 * np.abs(made).max()


def test_saved_models_are_the_same_to_the_bit(
    case: Case, float_model: keras.Model, quantized_model: keras.Model, tmp_path: Path
) -> None:
    pixels = nets.images(2, case.size)
    for name, model in (("float", float_model), ("qat", quantized_model)):
        model.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras", compile=False)
        for one, other in zip(outputs(loaded, pixels), outputs(model, pixels), strict=True):
            np.testing.assert_array_equal(one, other)
        assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def test_every_convolution_is_quantized(float_model: keras.Model, quantized_model: keras.Model) -> None:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
    expected = {layer.name for layer in float_model.layers if isinstance(layer, kinds)}
    quantized = {layer.name for layer in quantized_model.layers if isinstance(layer, QuantLinear)}
    assert expected <= quantized


def check_operations(facts: GraphFacts) -> None:
    """Nothing that a phone's delegate would part the graph at for no need."""
    names = {name for name, _ in facts.ops}
    assert names.isdisjoint(FOREIGN)
    assert not any(name.startswith("Flex") for name in names)


def is_refused(model: keras.Model) -> bool:
    """Whether a network is larger than a file may be, and is refused for it."""
    if 4 * model.count_params() < 2e9:
        return False
    with pytest.raises(UsageError, match=r"a \.tflite file ends at 2 GB"):
        mobile_seg.to_tflite(model) if is_quantized(model) else convert_graph(model, precision="float32", io="float")
    return True


def test_the_float_file_follows_its_model(
    case: Case, float_model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_refused(float_model):
        return
    as_drawn: list[bytes] = []
    convert = tflite._run_converter
    monkeypatch.setattr(tflite, "_run_converter", lambda *given: as_drawn.append(convert(*given)) or as_drawn[-1])
    content = convert_graph(float_model, precision="float32", io="float").content
    facts = inspect_tflite(content)
    check_operations(facts)
    macs = count(float_model).macs
    assert inspect_tflite(as_drawn[0]).macs == macs, "counted from the exported graph and from the layers"
    assert facts.macs <= macs, "what is moved to fewer pixels costs less"
    pixels = nets.images(2, case.size)
    for (made, _), expected in zip(
        nets.run(content, pixels.astype(np.float32)), outputs(float_model, pixels), strict=True
    ):
        # float32 sums in another order, of which an untrained network of many blocks makes up to 4e-4 of full scale
        # (SP-EfficientNet-B0, another figure with every number of threads). What is wired wrongly is off by a tenth.
        np.testing.assert_allclose(made, expected, atol=1e-3 * np.abs(expected).max())


def test_the_int8_file_follows_its_quantized_model(case: Case, quantized_model: keras.Model) -> None:
    if is_refused(quantized_model):
        return
    content = mobile_seg.to_tflite(quantized_model, io="uint8")
    facts = inspect_tflite(content)
    check_operations(facts)
    assert facts.float_ops == 0
    pixels = nets.images(2, case.size)
    for (made, (scale, zero)), expected in zip(
        nets.run(content, pixels), outputs(quantized_model, pixels), strict=True
    ):
        steps = made.astype(np.float64) - zero - expected / scale
        # Most files are equal to the bit. Means, gates and bilinear resizes round within a step of the kernel,
        # which grows from block to block where nothing was trained: 30 dB below full scale is what may come of it.
        assert np.sqrt(np.mean(steps**2)) <= 255 / 10**1.5


def test_a_step_lowers_the_loss(case: Case, float_model: keras.Model) -> None:
    check_that_it_learns(case, float_model, steps=1, share=0.02)


def test_a_few_quantization_aware_steps_lower_the_loss() -> None:
    case = Case(find("mobile_spinenet_s49_minus"), "deeplabv3")
    # Through rounding the slope is an estimate, and moving ranges shake the loss: only long steps show beside that.
    check_that_it_learns(case, nets.calibrated(case.build()), steps=3, share=0.5)


def check_that_it_learns(case: Case, like: keras.Model, *, steps: int, share: float) -> None:
    """Move a copy of a model, without dropout, down the slope of its loss on one batch.

    Were the slope straight, each step would take a `share` of the loss away: that suits networks of any depth. Where a
    level has one pixel, a batch's statistics make a slope without end: there the moving ones normalize.
    """
    import tensorflow as tf

    model = keras.models.clone_model(like)
    model.set_weights(like.get_weights())
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    pixels = nets.images(4, case.size).astype(np.float32)  # those that the moving statistics are of
    spatial = [layer for layer in model.layers if getattr(layer, "kernel_size", (1, 1)) != (1, 1)]
    training = all(math.prod(layer.output.shape[1:-1]) > 1 for layer in spatial)

    def loss() -> tf.Tensor:
        found = model(pixels, training=training)
        return tf.add_n([tf.reduce_mean(tf.square(one)) for one in tf.nest.flatten(found)])

    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            losses.append(loss())
        slopes = tape.gradient(losses[-1], [variable.value for variable in model.trainable_variables])
        assert all(slope is not None for slope in slopes), "every weight is trained"
        rate = share * losses[-1] / tf.add_n([tf.reduce_sum(tf.square(slope)) for slope in slopes])
        for variable, slope in zip(model.trainable_variables, slopes, strict=True):
            variable.assign_sub(rate * slope)
    assert float(loss()) < float(losses[0])
