"""DeepLabv3+'s decoder and LR-ASPP: their wiring, options, and what is refused."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.graph import view
from mobile_seg.models.blocks import Style
from mobile_seg.models.decoders import DeepLabV3PlusHead, LRASPPHead, deeplabv3plus, lraspp
from mobile_seg.models.features import Features


def _model(attach: Any, head: Any, *, low: tuple[int, int] = (12, 16)) -> keras.Model:
    last = keras.Input((6, 8, 10), name="last")
    near = keras.Input((*low, 5), name="near")
    return keras.Model([last, near], attach(Features(last, {4: near}), classes=3, head=head, style=Style()))


def _plus(**options: Any) -> keras.Model:
    head = DeepLabV3PlusHead(**{"aspp_width": 16, "aspp_rates": (2,), "decoder_width": 24, **options})
    return _model(deeplabv3plus, head)


def _kernels(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {
        layer.name: tuple(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D))
    }


def test_the_decoder_is_that_of_figure_2() -> None:
    model = _plus()
    graph = view(model)
    kernels = _kernels(model)
    assert {name: shape for name, shape in kernels.items() if name.startswith(("decoder", "head"))} == {
        "decoder_low_conv": (1, 1, 5, 48),
        "decoder_conv0_conv": (3, 3, 64, 24),
        "decoder_conv1_conv": (3, 3, 24, 24),
        "head_logits": (1, 1, 24, 3),
    }
    assert kernels["aspp_rate2_conv"] == (3, 3, 10, 16)
    up = graph.layers["decoder_up"]
    assert (up.size, up.interpolation) == ((2, 2), "bilinear")
    assert graph.inputs["decoder_concat"] == ("decoder_up", "decoder_low_act")
    assert model.output_shape == (None, 12, 16, 3)


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"separable_decoder": True}, {"decoder_conv0_spatial_depthwise": (3, 3, 64, 1), "decoder_conv0_conv": None}),
        ({"separable_aspp": True}, {"aspp_rate2_spatial_depthwise": (3, 3, 10, 1), "aspp_rate2_conv": None}),
        ({"low_level_width": 8}, {"decoder_low_conv": (1, 1, 5, 8), "decoder_conv0_conv": (3, 3, 24, 24)}),
        ({"decoder_convs": 1}, {"decoder_conv1_conv": None}),
        ({"classifier_kernel": 3}, {"head_logits": (3, 3, 24, 3)}),
        ({"image_pooling": False, "aspp_rates": ()}, {"aspp_project_conv": (1, 1, 16, 16), "aspp_pool_conv": None}),
    ],
    ids=str,
)
def test_each_option_changes_its_convolutions(
    options: dict[str, Any], changed: dict[str, tuple[int, ...] | None]
) -> None:
    found = _kernels(_plus(**options))
    assert {name: found.get(name) for name in changed} == changed


def test_a_size_that_does_not_divide_is_resized() -> None:
    model = _model(deeplabv3plus, DeepLabV3PlusHead(aspp_width=16, aspp_rates=()), low=(11, 15))
    up = model.get_layer("decoder_up")
    assert (type(up), up.height, up.width, up.interpolation) == (layers.Resizing, 11, 15, "bilinear")
    assert model.output_shape == (None, 11, 15, 3)


def test_lraspp_is_a_gated_branch_and_two_classifiers() -> None:
    model = _model(lraspp, LRASPPHead(lraspp_width=16, low_level_stride=4))
    graph = view(model)
    assert _kernels(model) == {
        "lraspp_point_conv": (1, 1, 10, 16),
        "lraspp_gate_conv": (1, 1, 10, 16),
        "head_last_logits": (1, 1, 16, 3),
        "head_low_logits": (1, 1, 5, 3),
    }
    assert graph.inputs["lraspp_gated"] == ("lraspp_point_act", "lraspp_gate_act")
    assert graph.layers["lraspp_gate_act"].activation.__name__ == "hard_sigmoid"
    assert graph.inputs["head_logits"] == ("head_last_up", "head_low_logits")


def test_classifying_before_the_resize_is_the_papers_order() -> None:
    model = _model(lraspp, LRASPPHead(lraspp_width=16, low_level_stride=4))
    generator = np.random.default_rng(0)
    values = [generator.normal(size=shape).astype(np.float32) for shape in ((2, 6, 8, 10), (2, 12, 16, 5))]
    model.get_layer("head_last_logits").bias.assign(generator.normal(size=3))
    gated = keras.Model(model.inputs, model.get_layer("lraspp_gated").output)(values)
    resized = layers.UpSampling2D(2, interpolation="bilinear")(gated)
    low = model.get_layer("head_low_logits")(values[1])
    expected = model.get_layer("head_last_logits")(resized) + low
    np.testing.assert_allclose(np.asarray(model(values)), np.asarray(expected), atol=1e-5)


def test_logits_are_float32_in_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        head = LRASPPHead(lraspp_width=16, low_level_stride=4)
        models = [_model(lraspp, head), _plus()]
    finally:
        keras.config.set_dtype_policy("float32")
    assert [model.output.dtype for model in models] == ["float32", "float32"]
    assert models[0].get_layer("head_last_up").compute_dtype == "float32"


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (DeepLabV3PlusHead, {"decoder_width": 0}, r"widths \(256, 48, 0\) that are not all positive"),
        (DeepLabV3PlusHead, {"decoder_convs": -1}, "-1 convolutions; give 0 or more"),
        (DeepLabV3PlusHead, {"classifier_kernel": 2}, "a 2x classifier; choose 1 or 3"),
        (DeepLabV3PlusHead, {"aspp_rates": [6, 6]}, r"rates \(6, 6\) repeat"),
        (LRASPPHead, {"lraspp_width": 0}, "width 0; give 1 or more"),
        (LRASPPHead, {"lraspp_gate": "relu"}, "lraspp_gate='relu' is not known; choose from hard_sigmoid, sigmoid"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(record: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        record(**options)


def test_a_stride_without_features_is_refused() -> None:
    with pytest.raises(UsageError, match="low_level_stride=8 is not offered by this network; choose from 4"):
        _model(lraspp, LRASPPHead())
