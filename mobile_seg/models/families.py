"""Every family's record and backbone, by the name that its entries give."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mobile_seg.models import (
    auto_deeplab,
    eff_spinenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    spinenet,
    spinenet_seg,
    swidernet,
)
from mobile_seg.models.features import Features


@dataclass(frozen=True)
class Family:
    """`row`: the record whose fields tell its networks apart. `backbone`: normalized image → features."""

    row: Callable[..., Any]
    backbone: Callable[..., Features]


FAMILIES: dict[str, Family] = {
    "spinenet": Family(spinenet.SpineNet, spinenet.backbone),
    "mbconv_spinenet": Family(eff_spinenet.MBConvSpineNet, eff_spinenet.backbone),
    "spinenet_seg": Family(spinenet_seg.SpineNetSeg, spinenet_seg.backbone),
    "mobile_spinenet_seg": Family(spinenet_seg.MobileSpineNetSeg, spinenet_seg.mobile_backbone),
    "swidernet": Family(swidernet.SWideRNet, swidernet.backbone),
    "auto_deeplab": Family(auto_deeplab.AutoDeepLab, auto_deeplab.backbone),
    "mobilenet_v2": Family(mobilenet_v2.MobileNetV2, mobilenet_v2.backbone),
    "mobilenet_v3": Family(mobilenet_v3.MobileNetV3, mobilenet_v3.backbone),
    "resnet": Family(resnet.ResNet, resnet.backbone),
}
