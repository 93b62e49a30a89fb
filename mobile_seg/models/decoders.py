"""Heads that add earlier, finer features to the last: DeepLabv3+'s decoder and MobileNetV3's LR-ASPP."""

from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError, choose
from mobile_seg.models.blocks import Style, Tensor, conv_bn
from mobile_seg.models.deeplabv3 import aspp, aspp_mistakes, conv3x3
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resized


@dataclass(frozen=True)
class DeepLabV3PlusHead:
    """DeepLabv3+ (arXiv:1802.02611, sec. 3.1 and 4.1): ASPP, up to `low_level_stride`, low-level features beside.

    Those come through a 1x1 convolution to `low_level_width` channels; `decoder_convs` 3x3 convolutions of
    `decoder_width` follow, then the classifier. `separable_aspp` and `separable_decoder`: depthwise separable 3x3
    convolutions. Rates in pixels of the last features: 6/12/18 at output stride 16, twice that at 8.
    """

    aspp_width: int = 256
    aspp_rates: tuple[int, ...] = (6, 12, 18)
    separable_aspp: bool = False
    image_pooling: bool = True
    aspp_dropout: float = 0.0
    low_level_stride: int = 4
    low_level_width: int = 48
    decoder_width: int = 256
    decoder_convs: int = 2
    separable_decoder: bool = False
    classifier_kernel: int = 1

    def __post_init__(self) -> None:
        rates = tuple(self.aspp_rates)
        object.__setattr__(self, "aspp_rates", rates)  # a list, where the options came out of a JSON file
        widths = (self.aspp_width, self.low_level_width, self.decoder_width)
        for wrong, message in (
            (min(widths) < 1, f"widths {widths} that are not all positive"),
            (self.decoder_convs < 0, f"{self.decoder_convs} convolutions; give 0 or more"),
            (self.classifier_kernel not in (1, 3), f"a {self.classifier_kernel}x classifier; choose 1 or 3"),
            *aspp_mistakes(rates, self.aspp_dropout),
        ):
            if wrong:
                raise UsageError(f"the head cannot be built with {message}.")


@dataclass(frozen=True)
class LRASPPHead:
    """LR-ASPP (arXiv:1905.02244, sec. 6.4 and Fig. 10), of `lraspp_width` channels.

    Global mean, not the paper's 49x49 mean at stride 16x20: that one is made for 1024x2048 images, where it leaves
    one row of four means, and cannot be built below 784 pixels. docs/decisions/0011.
    """

    lraspp_width: int = 128
    low_level_stride: int = 8
    lraspp_gate: str = "hard_sigmoid"

    def __post_init__(self) -> None:
        if self.lraspp_width < 1:
            raise UsageError(f"the head cannot be built with width {self.lraspp_width}; give 1 or more.")
        choose("lraspp_gate", self.lraspp_gate, ("hard_sigmoid", "sigmoid"))


def deeplabv3plus(features: Features, *, classes: int, head: DeepLabV3PlusHead, style: Style) -> Tensor:
    """Return logits `[N, h, w, classes]` at the stride of the low-level features."""
    low = _low_level(features, head.low_level_stride)
    x = aspp(
        features.last,
        head.aspp_width,
        rates=head.aspp_rates,
        separable=head.separable_aspp,
        image_pooling=head.image_pooling,
        dropout=head.aspp_dropout,
        name="aspp",
        style=style,
    )
    x = resized(x, tuple(low.shape[1:3]), name="decoder_up")
    low = conv_bn(low, head.low_level_width, name="decoder", role="low", style=style)
    x = keras.layers.Concatenate(name="decoder_concat")([x, low])
    for index in range(head.decoder_convs):
        x = conv3x3(
            x, head.decoder_width, name="decoder", role=f"conv{index}", style=style, separable=head.separable_decoder
        )
    return keras.layers.Conv2D(classes, head.classifier_kernel, padding="same", dtype="float32", name="head_logits")(x)


def lraspp(features: Features, *, classes: int, head: LRASPPHead, style: Style) -> Tensor:
    """Return logits `[N, h, w, classes]` at the stride of the low-level features: the sum of two classifiers.

    The last features' one stands before the bilinear resizing, not behind it as in Fig. 10: both are linear and a
    resize's weights sum to one, so that the result is the same, and the resize reads `classes` channels, not
    `lraspp_width`.
    """
    low = _low_level(features, head.low_level_stride)
    x = conv_bn(features.last, head.lraspp_width, name="lraspp", role="point", style=style)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name="lraspp_gate_mean")(features.last)
    gate = keras.layers.Conv2D(head.lraspp_width, 1, use_bias=False, name="lraspp_gate_conv")(gate)
    gate = keras.layers.Activation(head.lraspp_gate, name="lraspp_gate_act")(gate)
    x = keras.layers.Multiply(name="lraspp_gated")([x, gate])
    x = keras.layers.Conv2D(classes, 1, dtype="float32", name="head_last_logits")(x)
    x = resized(x, tuple(low.shape[1:3]), name="head_last_up", dtype="float32")
    low = keras.layers.Conv2D(classes, 1, dtype="float32", name="head_low_logits")(low)
    return keras.layers.Add(dtype="float32", name="head_logits")([x, low])


def _low_level(features: Features, stride: int) -> Tensor:
    if stride not in features.taps:
        offered = ", ".join(map(str, sorted(features.taps)))
        raise UsageError(f"low_level_stride={stride} is not offered by this network; choose from {offered}.")
    return features.taps[stride]
