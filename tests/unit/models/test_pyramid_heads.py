"""The heads on a pyramid: what is shared, what is each level's own, and what each gives."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style
from mobile_seg.models.cost import count
from mobile_seg.models.features import Features
from mobile_seg.models.heads import HEADS
from mobile_seg.models.registry import build

WIDTHS = {8: 6, 16: 10, 32: 4, 64: 12, 128: 8}


def _on_pyramid(head: str, *, classes: int = 4, size: tuple[int, int] = (128, 256), **options: Any) -> keras.Model:
    inputs = {
        stride: keras.Input((-(-size[0] // stride), -(-size[1] // stride), width), name=f"stride{stride}")
        for stride, width in WIDTHS.items()
    }
    attached = HEADS[head]
    features = Features(inputs[8], pyramid=inputs)
    outputs = attached.attach(features, classes=classes, head=attached.options(**options), style=Style())
    return keras.Model(list(inputs.values()), outputs)


def _random_pyramid(model: keras.Model) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(2, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]


def test_fusion_is_the_mean_of_the_levels_at_p3() -> None:
    model = _on_pyramid("pyramid_fusion", pyramid_width=5, subnet_convs=0)
    shown = _random_pyramid(model)
    ends = [model.get_layer(f"p{level}_endpoint_act").output for level in range(3, 8)]
    *levels, mean = keras.Model(model.inputs, [*ends, model.get_layer("fusion_mean").output])(shown)
    expected = sum(np.asarray(x).repeat(2**power, axis=1).repeat(2**power, axis=2) for power, x in enumerate(levels))
    np.testing.assert_allclose(np.asarray(mean), expected / 5, atol=1e-6)


def test_fusion_comes_back_to_p3_from_odd_sizes() -> None:
    model = _on_pyramid("pyramid_fusion", size=(72, 104), pyramid_width=5, subnet_convs=0)
    assert model.output_shape == (None, 9, 13, 4)
    assert isinstance(model.get_layer("p4_up"), layers.Resizing)
    assert model.get_layer("p7_up").size == (9, 13)
    assert model.get_layer("p7_up").interpolation == "nearest"


@pytest.mark.parametrize(
    ("head", "separable", "kernels"),
    [
        ("pyramid_fusion", True, {"head_conv1_spatial_depthwise": (3, 3, 7, 1), "head_conv1_point_conv": (1, 1, 7, 7)}),
        ("pyramid_fusion", False, {"head_conv1_conv": (3, 3, 7, 7), "head_logits": (1, 1, 7, 4)}),
        (
            "retinanet",
            True,
            {
                "class_conv1_depthwise": (3, 3, 7, 1),
                "class_conv1": (1, 1, 7, 7),
                "class_predict_depthwise": (3, 3, 7, 1),
                "class_predict": (1, 1, 7, 36),
            },
        ),
        ("retinanet", False, {"box_conv1": (3, 3, 7, 7), "box_predict": (3, 3, 7, 36), "class_predict": (3, 3, 7, 36)}),
    ],
)
def test_the_convolutions_of_a_head(head: str, separable: bool, kernels: dict[str, tuple[int, ...]]) -> None:
    model = _on_pyramid(head, pyramid_width=7, subnet_convs=2, separable_head=separable)
    assert {name: tuple(model.get_layer(name).kernel.shape) for name in kernels} == kernels


def test_the_mean_of_means_is_the_mean_of_the_papers_fused_map() -> None:
    model = _on_pyramid("classification", pyramid_width=5)
    shown = _random_pyramid(model)
    fused = _on_pyramid("pyramid_fusion", pyramid_width=5, subnet_convs=0)
    for level in range(3, 8):
        for role in ("conv", "bn"):
            name = f"p{level}_endpoint_{role}"
            fused.get_layer(name).set_weights(model.get_layer(name).get_weights())
    fused_map = np.asarray(keras.Model(fused.inputs, fused.get_layer("fusion_mean").output)(shown), np.float64)
    ours = keras.Model(model.inputs, model.get_layer("head_mean").output)(shown)
    # A float32 sum of a level's 512 pixels is as exact as the order of its terms, which differs by processor.
    np.testing.assert_allclose(np.asarray(ours), fused_map.mean(axis=(1, 2)), rtol=1e-5, atol=1e-5)


def test_classification_without_a_pyramid_reads_the_last_features() -> None:
    last = keras.Input((4, 6, 10))
    head = HEADS["classification"]
    logits = head.attach(Features(last), classes=7, head=head.options(), style=Style())
    model = keras.Model(last, logits)
    assert model.output_shape == (None, 7)
    assert count(model).params == 10 * 7 + 7
    assert build("mobile_spinenet_s49_minus", input_size=(32, 32), classes=7, head="classification").output_shape == (
        None,
        7,
    )


def test_retinanet_gives_classes_then_boxes_level_by_level() -> None:
    model = _on_pyramid("retinanet", classes=4, pyramid_width=6, subnet_convs=1, anchors=3)
    sizes = [(16, 32), (8, 16), (4, 8), (2, 4), (1, 2)]
    assert model.output_shape == [(None, *size, 12) for _ in range(2) for size in sizes]
    names = [tensor._keras_history.operation.name for tensor in model.outputs]
    assert names == [f"{subnet}_p{level}" for subnet in ("class", "box") for level in range(3, 8)]


def test_levels_share_convolutions_and_keep_their_own_normalization() -> None:
    model = _on_pyramid("retinanet", pyramid_width=6, subnet_convs=2, separable_head=True)
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    for subnet in ("class", "box"):
        shared = [layer for layer in model.layers if layer.name in (f"{subnet}_conv0", f"{subnet}_conv0_depthwise")]
        assert [len(layer._inbound_nodes) for layer in shared] == [5, 5]
        assert {f"{subnet}_conv1_p{level}_bn" for level in range(3, 8)} <= set(names)
    # Endpoints (40 inputs in all, 5 BN of 6), then per subnet two separable convolutions, 10 BN, and a prediction.
    endpoints = 40 * 6 + 5 * 12
    subnets = [2 * (9 * 6 + 36) + 10 * 12 + 9 * 6 + 6 * outputs + outputs for outputs in (36, 36)]
    pixels = sum(512 // 4**level for level in range(5))
    per_pixel = 2 * (2 * (9 * 6 + 36) + 9 * 6 + 6 * 36)
    ends = sum(width * 6 * 512 // 4**level for level, width in enumerate(WIDTHS.values()))
    cost = count(model)
    assert cost.params == endpoints + sum(subnets)
    assert cost.macs == per_pixel * pixels + ends


def test_every_anchor_starts_out_rare() -> None:
    model = _on_pyramid("retinanet", pyramid_width=6, subnet_convs=1)
    bias = np.asarray(model.get_layer("class_predict").bias)
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), 0.01, rtol=1e-5)
    assert not np.asarray(model.get_layer("box_predict").bias).any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("eff_spinenet_m0", {"pyramid_width": 0}, "pyramid_width=0 is not positive"),
        ("eff_spinenet_m0", {"subnet_convs": -1}, "subnet_convs=-1: give 0 or more"),
        ("eff_spinenet_m0", {"head": "retinanet", "anchors": 0}, "anchors=0: at least one box"),
        ("eff_spinenet_m0", {"head": "classification", "pyramid_width": 0}, "network ends in a pyramid"),
        ("eff_spinenet_m0", {"head": "classification", "pyramid_width": -1}, "pyramid_width=-1 is negative"),
        ("mobile_spinenet_s49", {"head": "classification", "pyramid_width": 8}, "network ends in no pyramid"),
        ("eff_spinenet_m0", {"head": "deeplabv3"}, "head='deeplabv3' is not known; choose from pyramid_fusion"),
        ("eff_spinenet_m0", {"output_stride": 16}, r"output_stride=16 is not offered; choose from \(8,\)"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(name, input_size=(64, 64), classes=3, **options)
