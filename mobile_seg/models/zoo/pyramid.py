"""What the rows of SpineNet and Eff-SpineNet share: their heads, and the settings in which both papers count."""

from typing import Any

from mobile_seg.models.entry import Published

HEADS = ("pyramid_fusion", "classification", "retinanet")

INPUT_MULTIPLE = 8
"""P3's stride. Above it, "same" padding rounds odd sizes up and nearest resizing brings them back; multiples of 128,
P7's stride, need neither."""

COCO_CLASSES = 90
IMAGENET_CLASSES = 1000


def head_options(width: int, *, convs: int, separable: bool, class_width: int) -> dict[str, dict[str, Any]]:
    """Each head's own defaults: endpoints and subnets of `width`, `convs` deep; `class_width` for classification."""
    subnets = {"pyramid_width": width, "subnet_convs": convs, "separable_head": separable}
    return {"pyramid_fusion": subnets, "retinanet": subnets, "classification": {"pyramid_width": class_width}}


def detected(source: str, size: int, params: float, macs: float, **bands: Any) -> Published:
    """A RetinaNet of a paper's table, on COCO."""
    return Published(source, (size, size), COCO_CLASSES, head="retinanet", params=params, macs=macs, **bands)


def classified(source: str, size: int, params: float, macs: float, **bands: Any) -> Published:
    """A classifier of a paper's table, on ImageNet."""
    return Published(source, (size, size), IMAGENET_CLASSES, head="classification", params=params, macs=macs, **bands)
