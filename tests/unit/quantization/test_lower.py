"""Every lowering by one small graph: what is left is the vocabulary, and the outputs are the same."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from unit.quantization.lowered import kinds, same, small, values

from mobile_seg.graph import view
from mobile_seg.layers import SwitchableAtrousConv2D, WeightedSum
from mobile_seg.quantization.lower import ACTIVATIONS, LOWERINGS, lower


def _conv(x: Any, name: str = "conv", **config: Any) -> Any:
    return layers.Conv2D(4, 1, name=name, **config)(x)


# Own activations


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "tanh", "hard_silu"])
def test_an_activation_without_fusion_becomes_a_layer(activation: str) -> None:
    lowered = same(small(lambda x: _conv(_conv(x, activation=activation), "last")))
    assert kinds(lowered) == {"conv": "Conv2D", "conv_activation": activation, "last": "Conv2D"}


@pytest.mark.parametrize("activation", ["linear", "relu", "relu6"])
def test_a_fused_activation_stays_inside(activation: str) -> None:
    lowered = same(small(lambda x: _conv(x, activation=activation)))
    assert lowered.get_layer("conv").activation.__name__ == activation


@pytest.mark.parametrize(
    "layer",
    [
        layers.DepthwiseConv2D(3, activation="silu", depth_multiplier=2, name="odd"),
        layers.Conv2DTranspose(3, 2, strides=2, activation="silu", use_bias=False, name="odd"),
        layers.Dense(5, activation="silu", name="odd"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_every_linear_layer_gives_its_activation_away(layer: Any) -> None:
    found = kinds(same(small(lambda x: _conv(layer(x), "last"))))
    names = ("odd", "odd_activation_sigmoid", "odd_activation", "last")
    assert found == dict(zip(names, (type(layer).__name__, "sigmoid", "Multiply", "Conv2D"), strict=True))


def test_an_output_keeps_its_name_when_its_activation_goes() -> None:
    lowered = same(small(lambda x: layers.Dense(3, activation="softmax", name="top")(layers.Flatten(name="flat")(x))))
    assert kinds(lowered) == {"flat": "Flatten", "top_linear": "Dense", "top": "softmax"}


def test_an_activation_given_as_a_layer_becomes_that_layer() -> None:
    lowered = same(small(lambda x: _conv(_conv(x, activation=layers.ReLU(6.0)), "last")))
    assert kinds(lowered) == {"conv": "Conv2D", "conv_activation": "ReLU", "last": "Conv2D"}


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_a_separable_convolution_is_two(activation: str) -> None:
    layer = layers.SeparableConv2D(
        5, 3, strides=2, padding="same", depth_multiplier=2, activation=activation, name="sep"
    )
    found = kinds(same(small(lambda x: _conv(layer(x), "last"))))
    own = {"sep_activation": "sigmoid"} if activation == "sigmoid" else {}
    assert found == {"sep_depthwise": "DepthwiseConv2D", "sep": "Conv2D", **own, "last": "Conv2D"}


def test_a_separable_convolution_keeps_its_dilation() -> None:
    same(small(lambda x: layers.SeparableConv2D(5, 3, dilation_rate=2, padding="same", use_bias=False)(x)))


# Activations


def test_silu_is_a_product_with_the_sigmoid() -> None:
    lowered = same(small(lambda x: layers.Activation("silu", name="act")(_conv(x))))
    assert kinds(lowered) == {"conv": "Conv2D", "act_sigmoid": "sigmoid", "act": "Multiply"}
    assert view(lowered).inputs["act"] == ("conv", "act_sigmoid")


def test_hard_sigmoid_puts_slope_and_offset_into_the_layer_in_front() -> None:
    lowered = same(small(lambda x: layers.Activation("hard_sigmoid", name="act")(_conv(x, use_bias=False))))
    assert kinds(lowered) == {"conv": "Conv2D", "act": "ReLU"}
    np.testing.assert_array_equal(lowered.get_layer("conv").bias, np.full(4, 0.5))


def test_hard_sigmoid_of_a_tensor_with_other_readers_gets_a_convolution() -> None:
    def body(x: Any) -> Any:
        x = _conv(x)
        return layers.Multiply(name="gate")([x, layers.Activation("hard_sigmoid", name="act")(x)])

    assert kinds(same(small(body))) == {
        "conv": "Conv2D",
        "act_slope": "DepthwiseConv2D",
        "act": "ReLU",
        "gate": "Multiply",
    }


def test_hard_silu_is_split_only_for_integers() -> None:
    model = small(lambda x: layers.Activation("hard_silu", name="act")(_conv(x)))
    assert kinds(same(model)) == {"conv": "Conv2D", "act": "hard_silu"}
    assert kinds(same(model, integers=True)) == {
        "conv": "Conv2D",
        "act_gate_slope": "DepthwiseConv2D",
        "act_gate": "ReLU",
        "act": "Multiply",
    }


def test_what_no_lowering_is_for_is_left_to_the_limits() -> None:
    lowered = lower(small(lambda x: layers.LeakyReLU(name="leaky")(_conv(x, activation="gelu"))))
    assert kinds(lowered) == {"conv": "Conv2D", "conv_activation": "gelu", "leaky": "LeakyReLU"}


# Several tensors


@pytest.mark.parametrize("kind", [layers.Add, layers.Multiply])
def test_many_tensors_are_joined_in_pairs(kind: Any) -> None:
    lowered = same(small(lambda x: kind(name="join")([_conv(x, "a"), _conv(x, "b"), _conv(x, "c"), x])))
    joins = {name: view(lowered).inputs[name] for name in ("join_1", "join_2", "join")}
    assert joins == {"join_1": ("a", "b"), "join_2": ("join_1", "c"), "join": ("join_2", "image")}


def test_two_tensors_are_joined_as_they_were() -> None:
    assert "join_1" not in kinds(same(small(lambda x: layers.Add(name="join")([_conv(x, "a"), x]))))


def test_a_mean_of_tensors_is_their_sum_times_a_constant() -> None:
    lowered = same(small(lambda x: layers.Average(name="mean")([_conv(x, "a"), _conv(x, "b"), x])))
    assert {"mean_sum_1": "Add", "mean_sum": "Add", "mean": "Rescaling"}.items() <= kinds(lowered).items()
    assert lowered.get_layer("mean").scale == pytest.approx(1 / 3)


SHARED = {
    "linear": (lambda x: _conv(x, "a"), {"a": "Conv2D"}),
    "relu inside": (lambda x: _conv(x, "a", activation="relu"), {"a": "Conv2D"}),
    "normalized, relu": (
        lambda x: layers.ReLU(name="r")(layers.BatchNormalization(name="n")(_conv(x, "a"))),
        {"a": "Conv2D", "n": "BatchNormalization", "r": "ReLU"},
    ),
    "resized": (
        lambda x: layers.UpSampling2D(2, name="up", interpolation="bilinear")(
            layers.MaxPooling2D(2, name="pool")(_conv(x, "a"))
        ),
        {"a": "Conv2D", "pool": "MaxPooling2D", "up": "Resize"},
    ),
    "a sum": (
        lambda x: layers.Add(name="sum")([_conv(x, "a"), _conv(x, "b")]),
        {"a": "Conv2D", "b": "Conv2D", "sum": "Add"},
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_a_fusion_is_a_sum_whose_shares_go_into_what_makes_its_inputs(case: str) -> None:
    body, names = SHARED[case]
    model = small(lambda x: WeightedSum(name="fuse")([body(x), _conv(x, "last")]))
    model.get_layer("fuse").fusion.assign([0.9, 0.3])
    assert kinds(same(model)) == {**names, "last": "Conv2D", "fuse": "Add"}


CONSTANTS = {
    "an image": lambda x: x,
    "a clamp at six": lambda x: layers.ReLU(6.0, name="clamp")(_conv(x, "a")),
    "a bend": lambda x: layers.Activation("sigmoid", name="bend")(_conv(x, "a")),
    "a sum with the image": lambda x: layers.Add(name="sum")([_conv(x, "a"), x]),
}


@pytest.mark.parametrize("case", CONSTANTS)
def test_what_takes_no_share_in_is_multiplied(case: str) -> None:
    model = small(lambda x: WeightedSum(name="fuse")([CONSTANTS[case](x), _conv(x, "last")]))
    model.get_layer("fuse").fusion.assign([0.9, 0.3])
    found = kinds(same(model))
    assert (found["fuse_share0"], found["fuse"], "fuse_share1" in found) == ("Rescaling", "Add", False)


def test_a_share_leaves_other_readers_their_tensor() -> None:
    def body(x: Any) -> Any:
        y = _conv(x, "a")
        return layers.Add(name="sum")([y, WeightedSum(name="fuse")([y, _conv(x, "b")])])

    found = kinds(same(small(body)))
    assert {"fuse_share0": "Rescaling", "fuse": "Add", "sum": "Add"}.items() <= found.items()


def test_fusions_of_fusions_and_of_many_are_sums_in_pairs() -> None:
    def body(x: Any) -> Any:
        inner = WeightedSum(name="inner")([_conv(x, "a"), _conv(x, "b"), _conv(x, "c")])
        return WeightedSum(name="outer")([inner, _conv(x, "d")])

    assert kinds(same(small(body))) == {
        **dict.fromkeys("abcd", "Conv2D"),
        **dict.fromkeys(("inner_1", "inner", "outer"), "Add"),
    }


def test_names_that_the_model_has_already_are_not_taken_again() -> None:
    def body(x: Any) -> Any:
        x = layers.Activation("sigmoid", name="act_sigmoid")(_conv(x))
        return layers.Activation("silu", name="act")(x)

    assert kinds(same(small(body)))["act_sigmoid_2"] == "sigmoid"


# The image


def test_an_image_scaled_once_keeps_its_rescaling() -> None:
    lowered = same(small(lambda x: _conv(layers.Rescaling(1 / 128, offset=-1.0, name="scale")(x))))
    assert kinds(lowered) == {"scale": "Rescaling", "conv": "Conv2D"}
    assert (lowered.get_layer("scale").scale, lowered.get_layer("scale").offset) == (1 / 128, -1.0)


def test_a_chain_that_treats_channels_alike_is_one_rescaling() -> None:
    def body(x: Any) -> Any:
        x = layers.Rescaling(0.5, offset=1.0, name="first")(x)
        x = layers.Normalization(axis=None, mean=2.0, variance=4.0, name="second")(x)
        return _conv(layers.Rescaling([0.25] * 4, name="third")(x))

    lowered = same(small(body))
    assert kinds(lowered) == {"first": "Rescaling", "conv": "Conv2D"}
    assert lowered.get_layer("first").scale == pytest.approx(0.5 / 2 * 0.25)
    assert lowered.get_layer("first").offset == pytest.approx((1.0 - 2.0) / 2 * 0.25)


def test_a_chain_that_does_not_leaves_the_bytes_and_adds_a_convolution() -> None:
    def body(x: Any) -> Any:
        x = layers.Rescaling(1 / 255, name="scale")(x)
        return _conv(layers.Rescaling([2.0, 3.0, 4.0, 5.0], name="std")(layers.Normalization(name="norm")(x)))

    lowered = same(small(body))
    assert kinds(lowered) == {"scale": "Rescaling", "std": "DepthwiseConv2D", "conv": "Conv2D"}
    assert (lowered.get_layer("scale").scale, lowered.get_layer("scale").offset) == (1.0, 0.0)
    assert not lowered.get_layer("std").trainable


def test_a_normalization_alone_gets_a_rescaling_in_front() -> None:
    lowered = same(small(lambda x: _conv(layers.Normalization(name="norm")(x))))
    assert kinds(lowered) == {"norm_bytes": "Rescaling", "norm": "DepthwiseConv2D", "conv": "Conv2D"}


def test_a_chain_ends_where_someone_else_reads() -> None:
    def body(x: Any) -> Any:
        x = layers.Rescaling(1 / 128, name="scale")(x)
        return layers.Concatenate(name="both")([x, layers.Rescaling(2.0, offset=1.0, name="more")(x)])

    assert kinds(same(small(body))) == {"scale": "Rescaling", "more": "DepthwiseConv2D", "both": "Concatenate"}


def test_an_image_that_is_not_scaled_is_left_alone() -> None:
    assert kinds(same(small(_conv))) == {"conv": "Conv2D"}


# Constants and normalization further inside

AFFINE: dict[str, Callable[[], Any]] = {
    "scale and offset": lambda: layers.Rescaling(-2.0, offset=1.5, name="affine"),
    "channels": lambda: layers.Rescaling([1.0, 2.0, -3.0, 4.0], offset=[0.0, 1.0, 0.0, -1.0], name="affine"),
    "normalization": lambda: layers.Normalization(name="affine"),
    "inverse": lambda: layers.Normalization(mean=[1.0, 2, 3, 4], variance=[4.0, 1, 9, 2], invert=True, name="affine"),
}
FOLDING: dict[str, Callable[[], list[Any]]] = {
    "conv": lambda: [layers.Conv2D(4, 3, name="a")],
    "no bias": lambda: [layers.Conv2D(4, 3, use_bias=False, name="a")],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, name="a")],
    "transposed": lambda: [layers.Conv2DTranspose(4, 2, strides=2, use_bias=False, name="a")],
    "dense": lambda: [layers.Flatten(name="flat"), layers.Dense(4, name="a")],
    "normalized": lambda: [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="a")],
    "bare normalized": lambda: [
        layers.DepthwiseConv2D(3, name="conv"),
        layers.BatchNormalization(name="a", scale=False, center=False),
    ],
}


@pytest.mark.parametrize("affine", AFFINE)
@pytest.mark.parametrize("front", FOLDING)
def test_constants_fold_into_the_layer_in_front(front: str, affine: str) -> None:
    def body(x: Any) -> Any:
        for layer in (*FOLDING[front](), AFFINE[affine](), layers.ReLU(name="last")):
            x = layer(x)
        return x

    model = small(body)
    assert list(kinds(same(model))) == [name for name in kinds(model) if name != "affine"]


def test_several_constants_fold_one_after_the_other() -> None:
    def body(x: Any) -> Any:
        x = layers.Rescaling(2.0, offset=1.0, name="b")(layers.Rescaling(3.0, name="a")(_conv(x)))
        x = layers.BatchNormalization(name="bn")(x)
        return layers.Rescaling(0.5, offset=-1.0, name="c")(x)

    assert kinds(same(small(body))) == {"conv": "Conv2D", "bn": "BatchNormalization", "c": "linear"}


def test_constants_behind_an_activation_become_a_layer() -> None:
    def body(x: Any) -> Any:
        x = layers.ReLU(name="relu")(_conv(x))
        x = layers.ReLU(name="relu2")(layers.Rescaling(0.5, name="scale")(x))
        return layers.Rescaling(1.0, offset=[1.0, 2.0, 3.0, 4.0], name="shift")(x)

    found = kinds(same(small(body)))
    assert found == {
        "conv": "Conv2D",
        "relu": "ReLU",
        "scale": "Rescaling",
        "relu2": "ReLU",
        "shift": "DepthwiseConv2D",
    }


def test_a_normalization_in_its_place_stays() -> None:
    lowered = same(small(lambda x: layers.ReLU(name="r")(layers.BatchNormalization(name="bn")(_conv(x)))))
    assert kinds(lowered) == {"conv": "Conv2D", "bn": "BatchNormalization", "r": "ReLU"}


def test_a_lone_normalization_gets_a_convolution_that_does_nothing() -> None:
    lowered = same(small(lambda x: layers.BatchNormalization(name="bn")(_conv(x, activation="relu"))))
    assert kinds(lowered) == {"conv": "Conv2D", "bn_identity": "DepthwiseConv2D", "bn": "BatchNormalization"}
    identity = lowered.get_layer("bn_identity")
    np.testing.assert_array_equal(identity.kernel, np.ones((1, 1, 4, 1)))
    assert not identity.use_bias
    assert not identity.trainable_weights


def test_a_normalization_of_a_shared_convolution_is_a_lone_one() -> None:
    def body(x: Any) -> Any:
        x = _conv(x)
        return layers.Add(name="sum")([x, layers.BatchNormalization(name="bn")(x)])

    assert "bn_identity" in kinds(same(small(body)))


def test_a_switchable_convolution_is_two_of_one_kernel_and_a_blend() -> None:
    def body(x: Any) -> Any:
        switch = layers.Conv2D(1, 1, name="switch")(x)
        return SwitchableAtrousConv2D(5, rates=(1, 3), name="sac")([x, switch])

    model = small(body)
    lowered = same(model)
    wiring = {name: view(lowered).inputs[name] for name in ("sac_change", "sac_part", "sac")}
    assert wiring == {
        "sac_change": ("sac_rate3", "sac_rate1"),
        "sac_part": ("sac_change", "switch"),
        "sac": ("sac_rate1", "sac_part"),
    }
    assert {"sac_change": "Subtract", "sac_part": "Multiply", "sac": "Add"}.items() <= kinds(lowered).items()
    for rate in (1, 3):
        conv = lowered.get_layer(f"sac_rate{rate}")
        assert conv.dilation_rate == (rate, rate)
        np.testing.assert_array_equal(conv.kernel, model.get_layer("sac").kernel)


def test_a_copy_of_a_lowered_model_goes_on_training_as_the_model_did() -> None:
    def body(x: Any) -> Any:
        x = layers.Activation("silu", name="act")(layers.BatchNormalization(name="bn")(_conv(x)))
        return layers.BatchNormalization(name="bn2")(layers.Dropout(0.0, name="drop")(x))

    model = small(body)
    lowered = keras.models.clone_model(shared := lower(model))
    lowered.set_weights(shared.get_weights())
    (images,) = values(model)
    for network in (model, lowered):
        network.compile(keras.optimizers.SGD(0.1), "mse")
        network.fit(images, np.zeros_like(images), epochs=2, verbose=0)
    np.testing.assert_allclose(lowered(images), model(images), rtol=1e-3, atol=1e-4)


def test_every_lowering_says_its_rule_in_one_sentence() -> None:
    for lowering in {*ACTIVATIONS.values(), *(one for several in LOWERINGS.values() for one in several)}:
        assert lowering.__doc__
        assert lowering.__doc__.strip().endswith(".")
        assert "\n" not in lowering.__doc__
