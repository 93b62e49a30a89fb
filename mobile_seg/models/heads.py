"""Every head's options and function, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mobile_seg.models import decoders, deeplabv3, panoptic, pyramid_heads


@dataclass(frozen=True)
class Head:
    """`options`: its record. `attach`: features → the network's output, or the list of its outputs."""

    options: Callable[..., Any]
    attach: Callable[..., Any]


HEADS: dict[str, Head] = {
    "deeplabv3": Head(deeplabv3.DeepLabV3Head, deeplabv3.deeplabv3),
    "deeplabv3plus": Head(decoders.DeepLabV3PlusHead, decoders.deeplabv3plus),
    "lraspp": Head(decoders.LRASPPHead, decoders.lraspp),
    "panoptic": Head(panoptic.PanopticHead, panoptic.panoptic),
    "pyramid_fusion": Head(pyramid_heads.PyramidFusionHead, pyramid_heads.pyramid_fusion),
    "classification": Head(pyramid_heads.ClassificationHead, pyramid_heads.classification),
    "retinanet": Head(pyramid_heads.RetinaNetHead, pyramid_heads.retinanet),
}
