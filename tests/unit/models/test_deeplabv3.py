"""The head's options, and the ones refused."""

from typing import Any

import keras
import numpy as np
import pytest

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style
from mobile_seg.models.deeplabv3 import DeepLabV3Head, deeplabv3
from mobile_seg.models.features import Features


def _head(**options: Any) -> keras.Model:
    features = keras.Input((6, 8, 10), name="features")
    return keras.Model(features, deeplabv3(Features(features), classes=4, head=DeepLabV3Head(**options), style=Style()))


def _convolutions(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {
        layer.name: tuple(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
    }


def test_the_default_is_separable_throughout() -> None:
    found = _convolutions(_head(aspp_width=16, aspp_rates=(2, 3)))
    assert found == {
        "aspp_point_conv": (1, 1, 10, 16),
        "aspp_rate2_spatial_depthwise": (3, 3, 10, 1),
        "aspp_rate2_point_conv": (1, 1, 10, 16),
        "aspp_rate3_spatial_depthwise": (3, 3, 10, 1),
        "aspp_rate3_point_conv": (1, 1, 10, 16),
        "aspp_pool_conv": (1, 1, 10, 16),
        "aspp_project_conv": (1, 1, 64, 16),
        "head_classify_spatial_depthwise": (3, 3, 16, 1),
        "head_logits": (1, 1, 16, 4),
    }


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"separable_aspp": False}, {"aspp_rate2_conv": (3, 3, 10, 16)}),
        ({"separable_head": False}, {"head_logits": (3, 3, 16, 4)}),
        ({"separable_head": False, "head_convs": 1}, {"head_conv0_conv": (3, 3, 16, 16)}),
        ({"head_convs": 2}, {"head_conv1_spatial_depthwise": (3, 3, 16, 1), "head_conv1_point_conv": (1, 1, 16, 16)}),
        ({"endpoint_width": 20}, {"head_endpoint_conv": (1, 1, 10, 20), "aspp_point_conv": (1, 1, 20, 16)}),
        ({"image_pooling": False}, {"aspp_project_conv": (1, 1, 32, 16)}),
        ({"aspp_rates": ()}, {"aspp_project_conv": (1, 1, 32, 16)}),
    ],
    ids=str,
)
def test_each_option_changes_its_convolutions(options: dict[str, Any], changed: dict[str, tuple[int, ...]]) -> None:
    found = _convolutions(_head(**{"aspp_width": 16, "aspp_rates": (2,), **options}))
    assert {name: found.get(name) for name in changed} == changed


def test_a_1x1_classifier_has_no_spatial_part() -> None:
    assert "head_classify_spatial_depthwise" not in _convolutions(_head(classifier_kernel=1))


def test_dropout_stands_behind_the_aspp_where_it_is_asked_for() -> None:
    assert _head(aspp_dropout=0.1).get_layer("aspp_drop").rate == 0.1
    assert "aspp_drop" not in [layer.name for layer in _head().layers]


def test_image_pooling_reaches_every_pixel() -> None:
    model = _head(aspp_width=8, aspp_rates=())
    pooled = keras.Model(model.input, model.get_layer("aspp_pool_up").output)
    values = np.asarray(pooled(np.random.default_rng(0).normal(size=(1, 6, 8, 10)).astype(np.float32)))
    assert values.shape == (1, 6, 8, 8)
    np.testing.assert_array_equal(values, np.broadcast_to(values[:, :1, :1], values.shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aspp_width": 0}, "width 0 is not positive"),
        ({"head_convs": -1}, "-1 convolutions; give 0 or more"),
        ({"endpoint_width": -8}, "an endpoint of -8 channels; give 0 for none"),
        ({"classifier_kernel": 5}, "a 5x classifier; choose 1 or 3"),
        ({"aspp_rates": (12, 0)}, r"rates \(12, 0\) are not all positive"),
        ({"aspp_rates": (6, 6)}, r"rates \(6, 6\) repeat; each may stand once"),
        ({"aspp_dropout": -0.1}, "a dropout of -0.1; give a share from 0"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"the head cannot be built with {message}"):
        DeepLabV3Head(**options)
