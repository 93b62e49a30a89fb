"""Every operation of our exports: a tiny Keras net, saved as a package, evaluated, against Keras.

Keras computes with TensorFlow's kernels; the evaluator with NumPy, by MIL's reference. Sides are odd and unequal, so
that a shifted, swapped or symmetric padding shows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.converters import coreml_packages as packages
from unit.quantization import nets

from mobile_seg.layers import Resize, SpaceToDepth, SwitchableAtrousConv2D, WeightedSum

Body = Callable[[Any], Any]
ODD, EVEN = (11, 14), (12, 16)


def _activation(name: str) -> Body:
    return lambda x: layers.Activation(name)(x)


def _squeezed(x: Any) -> Any:
    """Squeeze and excitation."""
    x = layers.Conv2D(8, 1)(x)
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Activation("hard_sigmoid")(layers.Conv2D(8, 1)(y))
    return layers.Multiply()([x, y])


def _pooled_branch(x: Any) -> Any:
    """The image branch of an ASPP: one pixel, spread out again."""
    y = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 1)(x))
    return layers.Concatenate()([x, Resize(ODD)(y)])


def _switched(x: Any) -> Any:
    switch = layers.Conv2D(1, 1, activation="sigmoid")(x)
    return SwitchableAtrousConv2D(4, rates=(1, 3))([x, switch])


def _attended(x: Any) -> Any:
    """Each pixel looks at all: matrix products of two computed tensors."""
    query, key = (layers.Reshape((-1, 4))(layers.Conv2D(4, 1)(x)) for _ in range(2))
    shares = layers.Softmax()(layers.Dot(axes=2)([query, key]))
    return layers.Reshape((*ODD, 4))(layers.Dot(axes=1)([shares, key]))


BUNDLES: dict[str, dict[str, Body]] = {
    "convolutions": {
        "conv stride 2": lambda x: layers.Conv2D(5, 3, strides=2, padding="same")(x),
        "conv even kernel": lambda x: layers.Conv2D(5, 4, strides=3, padding="same")(x),
        "conv valid": lambda x: layers.Conv2D(5, (3, 2), padding="valid")(x),
        "conv dilated": lambda x: layers.Conv2D(5, 3, dilation_rate=2, padding="same")(x),
        "conv groups": lambda x: layers.Conv2D(6, 3, groups=3, padding="same")(x),
        "separable": lambda x: layers.SeparableConv2D(5, 3, padding="same")(x),
    },
    "depthwise": {
        "depthwise stride 2": lambda x: layers.DepthwiseConv2D(3, strides=2, padding="same")(x),
        "depthwise dilated": lambda x: layers.DepthwiseConv2D(3, dilation_rate=3, padding="same")(x),
        "depthwise dilated valid": lambda x: layers.DepthwiseConv2D(3, dilation_rate=(2, 3), padding="valid")(x),
        "depthwise multiplier": lambda x: layers.DepthwiseConv2D(5, depth_multiplier=2, padding="same")(x),
    },
    "transposed": {
        "transposed same": lambda x: layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x),
        "transposed even kernel": lambda x: layers.Conv2DTranspose(5, 4, strides=2, padding="same")(x),
        "transposed valid": lambda x: layers.Conv2DTranspose(5, 3, strides=2, padding="valid")(x),
    },
    "sums and products": {
        "dense": lambda x: layers.Dense(5, activation="relu")(x),
        "batch normalization": lambda x: layers.BatchNormalization()(layers.ReLU()(x)),
        "add, subtract": lambda x: layers.Add()([x, layers.Subtract()([x, layers.Conv2D(3, 1)(x)])]),
        "multiply, maximum": lambda x: layers.Maximum()([x, layers.Multiply()([x, x])]),
        "average": lambda x: layers.Average()([x, layers.Conv2D(3, 1)(x)]),
        "weighted sum": lambda x: WeightedSum()([x, layers.Conv2D(3, 1)(x)]),
    },
    "clamps": {
        "relu6": lambda x: layers.ReLU(6)(layers.Rescaling(8.0)(x)),
        "relu to 0.5": lambda x: layers.ReLU(0.5)(x),
        "leaky relu": lambda x: layers.LeakyReLU(0.2)(x),
        "prelu": lambda x: layers.PReLU(shared_axes=[1, 2])(x),
        "softmax": lambda x: layers.Softmax()(x),
    },
    "pooling": {
        "max pool": lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(x),
        "max pool valid": lambda x: layers.MaxPooling2D((2, 3))(x),
        "average pool": lambda x: layers.AveragePooling2D(3, strides=2, padding="same")(x),
        "global max": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    },
    "shapes": {
        "zero padding": lambda x: layers.ZeroPadding2D(((1, 2), (0, 3)))(layers.ReLU()(x)),
        "cropping": lambda x: layers.Cropping2D(((1, 2), (0, 3)))(x),
        "permute, reshape": lambda x: layers.Reshape((14, 33, 1))(layers.Permute((2, 1, 3))(x)),
        "flatten": lambda x: layers.Reshape((1, 1, 5))(layers.Dense(5)(layers.Flatten()(x))),
        "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(2, 1)(x), x]),
    },
    "resizing": {
        "bilinear up": lambda x: Resize((17, 31))(x),
        "bilinear down": lambda x: Resize((5, 6))(x),
        "nearest whole": lambda x: Resize((22, 42), "nearest")(x),
        "nearest not whole": lambda x: Resize((16, 23), "nearest")(x),
        "nearest down": lambda x: Resize((5, 4), "nearest")(x),
        "upsampling": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(layers.UpSampling2D((2, 3))(x)),
    },
    "blocks": {
        "squeeze and excitation": _squeezed,
        "image pooling": _pooled_branch,
        "switched atrous": _switched,
        "attention": _attended,
        "layer normalization": lambda x: layers.LayerNormalization()(layers.Conv2D(8, 1)(x)),
    },
    "activations": {
        name: _activation(name)
        for name in ("sigmoid", "tanh", "silu", "hard_silu", "hard_sigmoid", "gelu", "elu", "softplus")
    },
}
"""What is converted together, to spare the time of a conversion for each."""


def _bundle(bodies: dict[str, Body]) -> keras.Model:
    """One net of all bodies; its output `[N, 1, 1, all values]` has one after the other."""
    return nets.net(
        lambda x: layers.Concatenate()([layers.Reshape((1, 1, -1))(body(x)) for body in bodies.values()]), size=ODD
    )


def _parts(model: keras.Model, bodies: dict[str, Body]) -> dict[str, slice]:
    """Where in the output each body's values stand."""
    joined = model.layers[-1].input
    ends = np.cumsum([part.shape[-1] for part in joined]).tolist()
    return {name: slice(end - part.shape[-1], end) for name, part, end in zip(bodies, joined, ends, strict=True)}


def _follows(model: keras.Model, folder: Path, precision: str) -> tuple[np.ndarray, np.ndarray, Any]:
    pixels = nets.images(2, model.input_shape[1:3])
    runner = packages.opened(model, folder, precision)
    return nets.logits(model, pixels), packages.outputs(runner, pixels), runner


@pytest.mark.parametrize("bundle", BUNDLES)
def test_float32_follows_keras(bundle: str, tmp_path: Path) -> None:
    model = _bundle(BUNDLES[bundle])
    expected, found, _ = _follows(model, tmp_path, "float32")
    for name, part in _parts(model, BUNDLES[bundle]).items():
        values = expected[..., part]
        assert np.ptp(values) > 0.0, name
        # The same float32 products summed in another order: 2^-24 for each of up to 462 terms, less as errors cancel.
        bound = 1e-5 * np.abs(values).max()
        np.testing.assert_allclose(found[..., part], values, rtol=1e-5, atol=bound, err_msg=name)


def test_blocks_become_channels(tmp_path: Path) -> None:
    model = nets.net(lambda x: layers.Conv2D(5, 3, strides=2, padding="same")(SpaceToDepth(2)(x)), size=EVEN)
    expected, found, runner = _follows(model, tmp_path, "float32")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert "space_to_depth" in runner.program.kinds


@pytest.mark.parametrize("bundle", ["convolutions", "blocks", "resizing"])
def test_float16_follows_keras(bundle: str, tmp_path: Path) -> None:
    model = _bundle(BUNDLES[bundle])
    expected, found, _ = _follows(model, tmp_path, "float16")
    assert np.abs(found - expected).max() > 0.0, "it is rounded"
    for name, part in _parts(model, BUNDLES[bundle]).items():
        values, difference = expected[..., part], (found - expected)[..., part]
        # Half precision keeps 11 bits: the image, each weight and each result are off by up to 2^-11 of themselves,
        # 2^-11/sqrt(3) = 2.8e-4 (rms). The longest of these has 8 operations in a row: sqrt(2 * 8) times that. Sums
        # cancel, which leaves errors as large as their terms: twice as much again.
        assert np.sqrt(np.square(difference).mean()) < 8 * 2.8e-4 * np.sqrt(np.square(values).mean()), name


def test_half_precision_overflows_as_the_neural_engine_does(tmp_path: Path) -> None:
    # Constants above 65504 would stay in float32; ReLU keeps the factors apart.
    model = nets.net(
        lambda x: layers.Rescaling(1e-4)(layers.Rescaling(3e4)(layers.ReLU()(layers.Rescaling(50.0)(x)))), size=ODD
    )
    assert not np.isfinite(_follows(model, tmp_path, "float16")[1]).all()
    assert np.isfinite(_follows(model, tmp_path / "full", "float32")[1]).all()
