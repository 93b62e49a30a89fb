"""DeepLabv3's head: from the backbone's last features to logits at the output stride."""

from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, conv_bn, depthwise_bn, separable_conv_bn
from mobile_seg.models.features import Features


@dataclass(frozen=True)
class DeepLabV3Head:
    """DeepLabv3 (arXiv:1706.05587, sec. 3.3): ASPP, `convs` 3x3 convolutions, a 3x3 classifier.

    SpineNet-Seg sec. 4: width 256, `head_convs` 0 (2 for S143+ or output stride 4); for mobile sizes every 3x3
    convolution of the ASPP (`separable_aspp`) and behind it (`separable_head`) is depthwise separable. Rates in
    pixels of the feature map: 12/24/36, Cityscapes 12/24/36/72. `endpoint_width`: channels of a 1x1 convolution
    before the ASPP, 0 for none. docs/decisions/0004 says why all of it is open. `aspp_dropout`: the share of the
    ASPP's values that training drops.
    """

    aspp_width: int = 256
    aspp_rates: tuple[int, ...] = (12, 24, 36)
    head_convs: int = 0
    separable_head: bool = True
    separable_aspp: bool = True
    endpoint_width: int = 0
    image_pooling: bool = True
    classifier_kernel: int = 3
    aspp_dropout: float = 0.0

    def __post_init__(self) -> None:
        rates = tuple(self.aspp_rates)
        object.__setattr__(self, "aspp_rates", rates)  # a list, where the options came out of a JSON file
        for wrong, message in (
            (self.aspp_width < 1, f"width {self.aspp_width} is not positive"),
            (self.endpoint_width < 0, f"an endpoint of {self.endpoint_width} channels; give 0 for none or more"),
            (self.head_convs < 0, f"{self.head_convs} convolutions; give 0 or more"),
            (self.classifier_kernel not in (1, 3), f"a {self.classifier_kernel}x classifier; choose 1 or 3"),
            *aspp_mistakes(rates, self.aspp_dropout),
        ):
            if wrong:
                raise UsageError(f"the head cannot be built with {message}.")


def aspp_mistakes(rates: tuple[int, ...], dropout: float) -> tuple[tuple[bool, str], ...]:
    """What may be wrong with an ASPP's options: (whether it is, how to say so)."""
    return (
        (any(rate < 1 for rate in rates), f"rates {rates} are not all positive"),
        (len(set(rates)) < len(rates), f"rates {rates} repeat; each may stand once"),
        (not 0 <= dropout < 1, f"a dropout of {dropout}; give a share from 0 up to, not including, 1"),
    )


def deeplabv3(features: Features, *, classes: int, head: DeepLabV3Head, style: Style) -> Tensor:
    """Return logits `[N, h, w, classes]` at the stride of the last features; h and w must be known."""
    x = features.last
    if head.endpoint_width:
        x = conv_bn(x, head.endpoint_width, name="head", role="endpoint", style=style)
    x = aspp(
        x,
        head.aspp_width,
        rates=head.aspp_rates,
        separable=head.separable_aspp,
        image_pooling=head.image_pooling,
        dropout=head.aspp_dropout,
        name="aspp",
        style=style,
    )
    for index in range(head.head_convs):
        x = conv3x3(x, head.aspp_width, name="head", role=f"conv{index}", style=style, separable=head.separable_head)
    if head.separable_head and head.classifier_kernel > 1:
        x = depthwise_bn(x, name="head", role="classify_spatial", style=style)
    kernel = 1 if head.separable_head else head.classifier_kernel
    return keras.layers.Conv2D(classes, kernel, padding="same", dtype="float32", name="head_logits")(x)


def aspp(
    x: Tensor,
    width: int,
    *,
    rates: tuple[int, ...],
    separable: bool,
    image_pooling: bool = True,
    dropout: float = 0.0,
    name: str,
    style: Style,
) -> Tensor:
    """Atrous spatial pyramid pooling: 1x1, dilated 3x3 per rate, image pooling; concatenated, projected, dropped."""
    height, width_of_x = x.shape[1:3]
    branches = [conv_bn(x, width, name=name, role="point", style=style)]
    branches += [
        conv3x3(x, width, name=name, role=f"rate{rate}", style=style, separable=separable, dilation=rate)
        for rate in rates
    ]
    if image_pooling:
        pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool_mean")(x)
        pooled = conv_bn(pooled, width, name=name, role="pool", style=style)
        branches.append(keras.layers.UpSampling2D((height, width_of_x), name=f"{name}_pool_up")(pooled))
    x = keras.layers.Concatenate(name=f"{name}_concat")(branches)
    x = conv_bn(x, width, name=name, role="project", style=style)
    return keras.layers.Dropout(dropout, name=f"{name}_drop")(x) if dropout else x


def conv3x3(
    x: Tensor, filters: int, *, name: str, role: str, style: Style, separable: bool, dilation: int = 1
) -> Tensor:
    """A 3x3 convolution with BN and activation, dense or depthwise separable."""
    if separable:
        return separable_conv_bn(x, filters, name=name, role=role, style=style, dilation=dilation)
    return conv_bn(x, filters, name=name, role=role, style=style, kernel=3, dilation=dilation)
