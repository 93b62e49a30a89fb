"""The audit of a file's constants against the model's kernels, in each format's layout."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.verify import tiny

from mobile_seg.keras_file import keras_manifest
from mobile_seg.verify.diagnosis.case import Case
from mobile_seg.verify.diagnosis.constants import folded_weights
from mobile_seg.verify.diagnosis.diagnose import diagnose
from mobile_seg.verify.diagnosis.weights import bias_dropped, kernel_transposed
from mobile_seg.verify.keras_runner import KerasRunner
from mobile_seg.verify.runners import open_artifact

SIZE, CLASSES = (12, 16), 4
CLOSE = 1e-4  # six layers of float32 sums up to about ten, each good to 1e-6 of it
Constants = dict[str, np.ndarray]


def build() -> keras.Model:
    """Every linear kind; a normalization behind some, a bias in some, both in one; a resize inside."""
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.ReLU(6, name="conv_relu")(layers.BatchNormalization(name="conv_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.ReLU(6, name="depthwise_relu")(layers.BatchNormalization(scale=False, name="depthwise_bn")(x))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="down")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", use_bias=False, name="up")(x)
    x = layers.ReLU(name="up_relu")(layers.BatchNormalization(center=False, name="up_bn")(x))
    x = layers.Dense(10, activation="relu", name="dense")(x)
    x = layers.Conv2D(CLASSES, 1, name="logits")(x)
    model = keras.Model(image, layers.UpSampling2D(2, interpolation="bilinear", name="double")(x), name="audited")
    rng = np.random.default_rng(4)
    for layer in model.layers:
        for variable in layer.weights:
            kind, shape = variable.path.rsplit("/")[-1], tuple(variable.shape)
            if kind == "kernel":
                fan_in = np.prod(shape[:2]) if layer.name == "depthwise" else np.prod(shape[:-1])
                variable.assign(rng.normal(0, 1.5 / np.sqrt(fan_in), shape))
            elif kind in ("gamma", "moving_variance"):
                variable.assign(rng.uniform(0.5, 1.5, shape))
            else:
                variable.assign(rng.normal(0, 0.5, shape))
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build()


def images(count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for _ in range(count)]


def runner(model: keras.Model) -> KerasRunner:
    names = tuple("abcd")
    return KerasRunner(
        model, manifest=keras_manifest(model, names, ((0, 0, 0),) * 4, precision="float32", name="audited")
    )


class File(KerasRunner):
    """Computes with a Keras model, and says what it holds."""

    def __init__(self, model: keras.Model, constants: Constants, kind: str, precision: str = "float32") -> None:
        super().__init__(model, manifest=replace(runner(model).manifest, precision=precision))
        self.kind, self._constants = kind, constants

    def constants(self) -> Mapping[str, np.ndarray]:
        return self._constants


def by_hand(model: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Folded kernels (in Keras' layout) and biases, the way the textbook does."""

    def scaled(name: str) -> tuple[np.ndarray, np.ndarray]:
        norm = model.get_layer(f"{name}_bn")
        gamma = np.asarray(norm.gamma) if norm.scale else 1.0
        beta = np.asarray(norm.beta) if norm.center else 0.0
        factor = gamma / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        return factor, beta - np.asarray(norm.moving_mean) * factor

    kernels = {name: np.asarray(model.get_layer(name).kernel) for name in ("conv", "depthwise", "down", "up")}
    kernels |= {name: np.asarray(model.get_layer(name).kernel) for name in ("dense", "logits")}
    biases = {name: np.asarray(model.get_layer(name).bias) for name in ("depthwise", "down", "dense", "logits")}
    factor, shift = scaled("conv")
    kernels["conv"], biases["conv"] = kernels["conv"] * factor, shift
    factor, shift = scaled("depthwise")
    kernels["depthwise"] = kernels["depthwise"] * factor.reshape(8, 2)
    biases["depthwise"] = biases["depthwise"] * factor + shift
    factor, shift = scaled("up")
    kernels["up"], biases["up"] = kernels["up"] * factor[:, None], shift
    return {name: (kernels[name], biases[name]) for name in kernels}


def stored(model: keras.Model, kind: str) -> Constants:
    """As the formats' specifications lay kernels out: O, H, W, I in TFLite, O, I, H, W in the others."""
    made: Constants = {"shape of something": np.float32([1, 2, 3, 4])}
    for name, (kernel, bias) in by_hand(model).items():
        made[f"{name}/bias"] = bias.astype(np.float32)
        if name == "dense":
            made[name] = kernel.T
        elif name == "depthwise":
            flat = kernel.reshape(3, 3, 16)
            made[name] = flat[None] if kind == "tflite" else np.moveaxis(flat, -1, 0)[:, None]
        elif kind == "tflite":
            made[name] = np.moveaxis(kernel, 2, 0) if name == "up" else np.moveaxis(kernel, -1, 0)
        elif name == "up":  # (I, O, H, W)
            made[name] = kernel.transpose(3, 2, 0, 1)
        else:
            made[name] = kernel.transpose(3, 2, 0, 1)
    return made


def wrong(model: keras.Model, change: Callable[[Any], None]) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    change(copy)
    return copy


KINDS = ("tflite", "onnx", "coreml")
LAYERS = ("conv", "depthwise", "down", "up")


def test_folding_is_the_textbooks(model: keras.Model) -> None:
    expected = by_hand(model)
    found = folded_weights(model)
    assert [one.layer for one in found] == ["conv", "depthwise", "down", "up", "dense", "logits"]
    assert [one.kind for one in found] == ["conv", "depthwise", "conv", "transposed", "dense", "conv"]
    for one in found:
        np.testing.assert_allclose(one.kernel, expected[one.layer][0], rtol=1e-5)
        np.testing.assert_allclose(one.bias, expected[one.layer][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_kernel_whose_rows_are_columns(model: keras.Model, layer: str, kind: str) -> None:
    def change(copy: Any) -> None:
        kernel = np.asarray(copy.get_layer(layer).kernel)
        copy.get_layer(layer).kernel.assign(kernel.swapaxes(0, 1))

    faulty = wrong(model, change)
    case = Case(runner(model), File(faulty, stored(faulty, kind), kind), images())
    (trial,) = kernel_transposed(case)
    assert f"the kernel of {layer} is transposed" in trial.fix
    np.testing.assert_allclose(trial.expected, trial.given, atol=CLOSE)
    assert list(bias_dropped(case)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [*LAYERS, "dense", "logits"])
def test_a_bias_that_is_gone(model: keras.Model, layer: str, kind: str) -> None:
    def change(copy: Any) -> None:
        for name, value in (("moving_mean", 0.0), ("beta", 0.0), ("bias", 0.0)):
            for owner in (copy.get_layer(layer), copy.get_layer(f"{layer}_bn") if f"{layer}_bn" in names else None):
                if getattr(owner, name, None) is not None:
                    getattr(owner, name).assign(np.full(getattr(owner, name).shape, value))

    names = {one.name for one in model.layers}
    faulty = wrong(model, change)
    case = Case(runner(model), File(faulty, stored(faulty, kind), kind), images())
    (trial,) = bias_dropped(case)
    assert f"the bias of {layer} is not in the file" in trial.fix
    np.testing.assert_allclose(trial.expected, trial.given, atol=CLOSE)
    assert list(kernel_transposed(case)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_file_has_no_suspects(model: keras.Model, kind: str) -> None:
    held = stored(model, kind)
    # As converters do that move the image's scaling into the first kernel.
    for first in (held["conv"], held["conv"] / 128):
        case = Case(runner(model), File(model, held | {"conv": first}, kind), images())
        assert [*kernel_transposed(case), *bias_dropped(case)] == []


def test_the_same_mistake_in_every_layer(model: keras.Model) -> None:
    def change(copy: Any) -> None:
        for name in LAYERS:
            kernel = np.asarray(copy.get_layer(name).kernel)
            copy.get_layer(name).kernel.assign(kernel[::-1, ::-1])

    faulty = wrong(model, change)
    (found, *_) = diagnose(runner(model), File(faulty, stored(faulty, "onnx"), "onnx"), images())
    assert found.name == "kernel-transposed"
    assert "conv, depthwise, down and 1 more" in found.explanation


def _rounded(values: np.ndarray, precision: str, axis: int) -> np.ndarray:
    if precision == "float16":
        return values.astype(np.float16).astype(np.float32)
    axes = tuple(one for one in range(values.ndim) if one != axis)
    step = np.abs(values).max(axes, keepdims=True) / 127
    return np.round(values / step) * step


@pytest.mark.parametrize("precision", ["float16", "int8", "w8"])
def test_rounded_weights_are_told_apart_all_the_same(model: keras.Model, precision: str) -> None:
    def swap(copy: Any) -> None:
        kernel = np.asarray(copy.get_layer("down").kernel)
        copy.get_layer("down").kernel.assign(kernel.swapaxes(0, 1))

    for faulty, name in ((wrong(model, swap), "kernel-transposed"), (wrong(model, lambda _: None), None)):
        held = stored(faulty, "tflite")
        held = {
            key: _rounded(one, precision, 3 if key == "depthwise" else 0) if one.ndim > 1 else one
            for key, one in held.items()
        }
        found = diagnose(runner(model), File(faulty, held, "tflite", precision), images())
        assert [finding.name for finding in found] == ([name] if name else [])


def test_weights_that_differ_otherwise_are_no_transposition(model: keras.Model) -> None:
    rng = np.random.default_rng(0)

    def change(copy: Any) -> None:
        layer = copy.get_layer("down")
        layer.kernel.assign(rng.permutation(np.asarray(layer.kernel).ravel() * 1.5 + 0.1).reshape(layer.kernel.shape))

    faulty = wrong(model, change)
    assert diagnose(runner(model), File(faulty, stored(faulty, "tflite"), "tflite"), images()) == ()


def test_an_image_read_backwards_is_not_a_transposed_kernel(model: keras.Model) -> None:
    def change(copy: Any) -> None:
        kernel = np.asarray(copy.get_layer("conv").kernel)
        copy.get_layer("conv").kernel.assign(kernel[:, :, ::-1])

    faulty = wrong(model, change)
    found = diagnose(runner(model), File(faulty, stored(faulty, "tflite"), "tflite"), images())
    assert [finding.name for finding in found] == ["channels-swapped"]


def test_a_resize_inside_the_network(model: keras.Model) -> None:
    """The model's own bilinear doubling, from corners and between corners."""
    places = {
        "align-corners": lambda n: np.arange(2 * n) * (n - 1) / (2 * n - 1),
        "resize-off-by-one": lambda n: np.arange(2 * n) / 2,
    }
    bare = keras.Model(model.input, model.get_layer("logits").output)
    for name, of in places.items():

        class Resized(KerasRunner):
            def infer(self, tensor: np.ndarray, of: Any = of) -> np.ndarray:
                logits = np.asarray(bare(tensor))[0]
                rows, columns = (np.clip(of(side), 0, side - 1) for side in logits.shape[:2])
                weights = [np.maximum(0, 1 - np.abs(np.arange(len(at) // 2) - at[:, None])) for at in (rows, columns)]
                return np.einsum("ijc,yi,xj->yxc", logits, *weights).astype(np.float32)

        wanted = runner(model)
        (found, *_) = diagnose(wanted, Resized(model, manifest=wanted.manifest), images())
        assert found.name == name
        assert "resizes double" in found.explanation


def test_a_model_of_no_layers_has_no_audit() -> None:
    class Own(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    assert folded_weights(Own()) == []


@pytest.mark.parametrize("how", [tiny.FLOAT32_OUTSIDE, tiny.INT8_OUTSIDE])
def test_a_real_files_constants_are_its_weights(how: tiny.Conversion, tmp_path: Path) -> None:
    constants = open_artifact(tiny.save(tmp_path, how)).constants()
    kernels = [one for one in constants.values() if one.shape == (8, 4, 4, 3)]
    biases = [one for one in constants.values() if one.shape == (8,)]
    assert (len(kernels), len(biases)) == (1, 1)
    # int8: half a step of 127; the bias counts in products of steps.
    atol = 1e-6 if how is tiny.FLOAT32_OUTSIDE else np.abs(tiny.KERNEL).max() / 254
    np.testing.assert_allclose(kernels[0], tiny.KERNEL.transpose(3, 0, 1, 2), atol=atol)
    np.testing.assert_allclose(biases[0], tiny.BIAS, atol=1e-5 if how is tiny.FLOAT32_OUTSIDE else 1e-3)


def test_a_runner_that_reads_no_constants_says_so() -> None:
    assert KerasRunner(tiny.keras_model(), manifest=tiny.manifest()).constants() == {}
