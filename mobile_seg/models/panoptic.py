"""Panoptic-DeepLab's head (arXiv:1911.10194, sec. 3.1 and Fig. 2): semantic classes, instance centres and offsets."""

from dataclasses import dataclass

import keras

from mobile_seg.errors import UsageError
from mobile_seg.models.blocks import Style, Tensor, conv_bn, separable_conv_bn
from mobile_seg.models.deeplabv3 import aspp, aspp_mistakes
from mobile_seg.models.features import Features
from mobile_seg.models.resample import resized

TAPS = (8, 4)
"""The strides at which a decoder reads the backbone again, in order; the outputs have the last of them."""


@dataclass(frozen=True)
class PanopticHead:
    """Two decoders, each with an ASPP of its own, and three heads.

    `aspp_rates` in pixels of the feature map: 6/12/18 at output stride 16, 3/6/9 at 32. `separable_aspp`,
    `separable_head`: whether the ASPP's 3x3 and all 5x5 convolutions are depthwise separable, as in SWideRNet's
    fast regime, or dense, as in its strong one (arXiv:2011.11675, sec. 4.1). Widths of each decoder's 5x5
    convolutions, of its two taps (at stride 8 and 4), and of the two instance heads.
    """

    aspp_width: int = 256
    aspp_rates: tuple[int, ...] = (6, 12, 18)
    aspp_dropout: float = 0.1
    separable_aspp: bool = True
    separable_head: bool = True
    semantic_width: int = 256
    semantic_taps: tuple[int, int] = (64, 32)
    instance_width: int = 128
    instance_taps: tuple[int, int] = (32, 16)
    instance_head_width: int = 32

    def __post_init__(self) -> None:
        for field in ("aspp_rates", "semantic_taps", "instance_taps"):
            object.__setattr__(self, field, tuple(getattr(self, field)))  # lists, where they came out of a JSON file
        widths = (self.aspp_width, self.semantic_width, self.instance_width, self.instance_head_width)
        for wrong, message in (
            (min(*widths, *self.semantic_taps, *self.instance_taps) < 1, "a width that is not positive"),
            *((len(taps) != len(TAPS), f"taps {taps}; give two") for taps in (self.semantic_taps, self.instance_taps)),
            *aspp_mistakes(self.aspp_rates, self.aspp_dropout),
        ):
            if wrong:
                raise UsageError(f"the head cannot be built with {message}.")


def panoptic(features: Features, *, classes: int, head: PanopticHead, style: Style) -> list[Tensor]:
    """Return three maps at stride 4, `[N, h, w, *]`; `training.panoptic_losses` says what they are compared with.

    Logits of the classes; a heatmap of the instances' centres, 1 channel, near 1 at a centre; per pixel the
    offset (y, x) to the centre of its instance, in pixels of the map.
    """
    semantic = _decoded(
        features, width=head.semantic_width, taps=head.semantic_taps, name="semantic", head=head, style=style
    )
    instance = _decoded(
        features, width=head.instance_width, taps=head.instance_taps, name="instance", head=head, style=style
    )
    narrow, separable = head.instance_head_width, head.separable_head
    outputs = []
    for x, width, channels, name in (
        (semantic, head.semantic_width, classes, "semantic_logits"),
        (instance, narrow, 1, "centre_heatmap"),
        (instance, narrow, 2, "offset_vectors"),
    ):
        x = _conv5x5(x, width, name=name.partition("_")[0], role="refine", style=style, separable=separable)
        small = keras.initializers.TruncatedNormal(stddev=0.01)
        layer = keras.layers.Conv2D(channels, 1, kernel_initializer=small, dtype="float32", name=name)
        outputs.append(layer(x))
    return outputs


def _decoded(
    features: Features, *, width: int, taps: tuple[int, int], name: str, head: PanopticHead, style: Style
) -> Tensor:
    """ASPP, then twice: up to a tap's size, the tap beside it by a 1x1 convolution, and a 5x5 convolution."""
    x = aspp(
        features.last,
        head.aspp_width,
        rates=head.aspp_rates,
        separable=head.separable_aspp,
        dropout=head.aspp_dropout,
        name=f"{name}aspp",
        style=style,
    )
    for stride, channels in zip(TAPS, taps, strict=True):
        tap, block = features.taps[stride], f"{name}{stride}"
        beside = conv_bn(tap, channels, name=block, role="tap", style=style)
        x = resized(x, tap.shape[1:3], name=f"{block}_up")
        x = keras.layers.Concatenate(name=f"{block}_concat")([x, beside])
        x = _conv5x5(x, width, name=block, role="fuse", style=style, separable=head.separable_head)
    return x


def _conv5x5(x: Tensor, filters: int, *, name: str, role: str, style: Style, separable: bool) -> Tensor:
    conv = separable_conv_bn if separable else conv_bn
    return conv(x, filters, name=name, role=role, style=style, kernel=5)
