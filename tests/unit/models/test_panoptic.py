"""Panoptic-DeepLab's head: its wiring by hand, its options, and the ones refused."""

import re
from typing import Any

import keras
import pytest

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, view
from mobile_seg.models.blocks import Style
from mobile_seg.models.features import Features
from mobile_seg.models.panoptic import PanopticHead, panoptic

Kernels = dict[str, tuple[int, ...]]


def _head(sizes: tuple[tuple[int, int], ...] = ((5, 7), (9, 13), (17, 25)), **options: Any) -> keras.Model:
    """On features of 40 channels, and taps of 20 and 10 at stride 8 and 4."""
    last, eight, four = (
        keras.Input((*size, channels), name=name)
        for size, channels, name in zip(sizes, (40, 20, 10), ("last", "eight", "four"), strict=True)
    )
    head = PanopticHead(**{"aspp_width": 16, **options})
    outputs = panoptic(Features(last, {4: four, 8: eight}), classes=6, head=head, style=Style("relu"))
    return keras.Model([last, eight, four], outputs)


@pytest.fixture(scope="module")
def graph() -> GraphView:
    """The head as it is by default, but for the ASPP's width."""
    return view(_head())


def _kernels(graph: GraphView) -> Kernels:
    return {
        name: tuple(layer.kernel.shape)
        for name, layer in graph.layers.items()
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))
    }


def test_three_maps_at_stride_4() -> None:
    assert _head().output_shape == [(None, 17, 25, 6), (None, 17, 25, 1), (None, 17, 25, 2)]


def test_the_convolutions_are_those_of_the_paper(graph: GraphView) -> None:
    found = _kernels(graph)
    for name, tap8, tap4, width in (("semantic", 64, 32, 256), ("instance", 32, 16, 128)):
        assert found[f"{name}8_tap_conv"] == (1, 1, 20, tap8)
        assert found[f"{name}8_fuse_spatial_depthwise"] == (5, 5, 16 + tap8, 1)
        assert found[f"{name}8_fuse_point_conv"] == (1, 1, 16 + tap8, width)
        assert found[f"{name}4_tap_conv"] == (1, 1, 10, tap4)
        assert found[f"{name}4_fuse_spatial_depthwise"] == (5, 5, width + tap4, 1)
        assert found[f"{name}4_fuse_point_conv"] == (1, 1, width + tap4, width)
    assert found["semantic_refine_point_conv"] == (1, 1, 256, 256)
    assert found["semantic_logits"] == (1, 1, 256, 6)
    assert found["centre_refine_spatial_depthwise"] == (5, 5, 128, 1)
    assert found["centre_refine_point_conv"] == (1, 1, 128, 32)
    assert found["centre_heatmap"] == (1, 1, 32, 1)
    assert found["offset_refine_point_conv"] == (1, 1, 128, 32)
    assert found["offset_vectors"] == (1, 1, 32, 2)


def test_each_decoder_has_its_own_aspp_and_goes_up_twice(graph: GraphView) -> None:
    for name in ("semantic", "instance"):
        for rate in (6, 12, 18):
            depthwise = graph.layers[f"{name}aspp_rate{rate}_spatial_depthwise"]
            assert depthwise.dilation_rate == (rate, rate)
            assert graph.only_input(depthwise.name) == "last"
        assert graph.layers[f"{name}aspp_drop"].rate == 0.1
        assert graph.only_input(f"{name}8_up") == f"{name}aspp_drop"
        assert graph.inputs[f"{name}8_concat"] == (f"{name}8_up", f"{name}8_tap_act")
        assert graph.only_input(f"{name}4_up") == f"{name}8_fuse_point_act"
        assert graph.inputs[f"{name}4_concat"] == (f"{name}4_up", f"{name}4_tap_act")
    assert graph.only_input("semantic_refine_spatial_depthwise") == "semantic4_fuse_point_act"
    for name in ("centre", "offset"):
        assert graph.only_input(f"{name}_refine_spatial_depthwise") == "instance4_fuse_point_act"
    assert graph.outputs == ("semantic_logits", "centre_heatmap", "offset_vectors")


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [(((5, 7), (9, 13), (17, 25)), "Resizing"), (((4, 6), (8, 12), (16, 24)), "UpSampling2D")],
    ids=["one more than a multiple", "multiples"],
)
def test_maps_grow_bilinearly_to_the_size_of_the_tap(sizes: Any, kind: str) -> None:
    ups = [layer for layer in _head(sizes).layers if layer.name.endswith(("8_up", "4_up"))]
    assert len(ups) == 4
    assert {(type(layer).__name__, layer.interpolation) for layer in ups} == {(kind, "bilinear")}


def test_the_strong_regime_is_dense() -> None:
    found = _kernels(view(_head(separable_aspp=False, separable_head=False)))
    assert not [name for name in found if "depthwise" in name]
    assert found["semanticaspp_rate6_conv"] == (3, 3, 40, 16)
    assert found["semantic8_fuse_conv"] == (5, 5, 16 + 64, 256)
    assert found["semantic_refine_conv"] == (5, 5, 256, 256)
    assert found["centre_refine_conv"] == (5, 5, 128, 32)
    half = _kernels(view(_head(separable_aspp=False)))
    assert {name for name in half if re.search("rate.*depthwise", name)} == set()
    assert "semantic8_fuse_spatial_depthwise" in half


def test_the_widths_are_options() -> None:
    options = {"semantic_width": 24, "semantic_taps": [8, 4], "instance_width": 12, "instance_taps": [6, 2]}
    found = _kernels(view(_head(**options, instance_head_width=10, aspp_rates=[1], aspp_dropout=0.0)))
    assert found["semantic4_fuse_point_conv"] == (1, 1, 24 + 4, 24)
    assert found["instance8_fuse_point_conv"] == (1, 1, 16 + 6, 12)
    assert found["offset_vectors"] == (1, 1, 10, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aspp_width": 0}, "a width that is not positive"),
        ({"semantic_taps": (64, 0)}, "a width that is not positive"),
        ({"instance_taps": (32,)}, r"taps \(32,\); give two"),
        ({"aspp_rates": (6, 6)}, r"rates \(6, 6\) repeat; each may stand once"),
        ({"aspp_dropout": 1.0}, "a dropout of 1.0; give a share from 0"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"the head cannot be built with {message}"):
        PanopticHead(**options)
