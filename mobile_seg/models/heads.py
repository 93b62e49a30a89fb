"""Segmentation heads: from the backbone's last features to logits at the output stride."""

from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, conv_bn, depthwise_bn, separable_conv_bn


@dataclass(frozen=True)
class DeepLabV3Head:
    """DeepLabv3 (arXiv:1706.05587, sec. 3.3): ASPP, `convs` 3x3 convolutions, a 3x3 classifier.

    SpineNet-Seg sec. 4: width 256, `convs` 0 (2 for S143+ or output stride 4); for mobile sizes every 3x3
    convolution of the ASPP (`separable_aspp`) and behind it (`separable`) is depthwise separable. Rates in
    pixels of the feature map: 12/24/36, Cityscapes 12/24/36/72. `endpoint`: width of a 1x1 convolution
    before the ASPP, 0 for none. docs/decisions/0004 says why all of it is open.
    """

    width: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    convs: int = 0
    separable: bool = True
    separable_aspp: bool = True
    endpoint: int = 0
    image_pooling: bool = True
    classifier_kernel: int = 3

    def __post_init__(self) -> None:
        for wrong, message in (
            (self.width < 1, f"width {self.width} is not positive"),
            (self.endpoint < 0, f"an endpoint of {self.endpoint} channels; give 0 for none or more"),
            (self.convs < 0, f"{self.convs} convolutions; give 0 or more"),
            (self.classifier_kernel not in (1, 3), f"a {self.classifier_kernel}x classifier; choose 1 or 3"),
            (any(rate < 1 for rate in self.rates), f"rates {self.rates} are not all positive"),
            (len(set(self.rates)) < len(self.rates), f"rates {self.rates} repeat; each may stand once"),
        ):
            if wrong:
                raise UsageError(f"the head cannot be built with {message}.")


def deeplabv3(x: Tensor, *, classes: int, head: DeepLabV3Head, style: Style) -> Tensor:
    """Return logits `[N, h, w, classes]` from features `[N, h, w, C]`; h and w must be known."""
    if head.endpoint:
        x = conv_bn(x, head.endpoint, name="head", role="endpoint", style=style)
    x = aspp(x, head=head, style=style)
    for index in range(head.convs):
        x = _conv3x3(x, head.width, name="head", role=f"conv{index}", style=style, separable=head.separable)
    if head.separable and head.classifier_kernel > 1:
        x = depthwise_bn(x, name="head", role="classify_spatial", style=style)
    kernel = 1 if head.separable else head.classifier_kernel
    return keras.layers.Conv2D(classes, kernel, padding="same", dtype="float32", name="head_logits")(x)


def aspp(x: Tensor, *, head: DeepLabV3Head, style: Style) -> Tensor:
    """Atrous spatial pyramid pooling: 1x1, dilated 3x3 per rate, image pooling; concatenated and projected."""
    height, width = x.shape[1:3]
    branches = [conv_bn(x, head.width, name="aspp", role="point", style=style)]
    branches += [
        _conv3x3(
            x, head.width, name="aspp", role=f"rate{rate}", style=style, separable=head.separable_aspp, dilation=rate
        )
        for rate in head.rates
    ]
    if head.image_pooling:
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp_pool_mean")(x)
        pooled = conv_bn(pooled, head.width, name="aspp", role="pool", style=style)
        branches.append(keras.layers.UpSampling2D((height, width), name="aspp_pool_up")(pooled))
    x = keras.layers.Concatenate(name="aspp_concat")(branches)
    return conv_bn(x, head.width, name="aspp", role="project", style=style)


def _conv3x3(
    x: Tensor, filters: int, *, name: str, role: str, style: Style, separable: bool, dilation: int = 1
) -> Tensor:
    if separable:
        return separable_conv_bn(x, filters, name=name, role=role, style=style, dilation=dilation)
    return conv_bn(x, filters, name=name, role=role, style=style, kernel=3, dilation=dilation)
