"""What a backbone hands to a head."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mobile_seg.models.blocks import Tensor


@dataclass(frozen=True)
class Features:
    """Tensors `[N, h, w, C]` of one backbone.

    `last`: the deepest, at the output stride. `taps`: stride → earlier features, for decoders. `pyramid`:
    stride → P3 to P7 of backbones that end in a pyramid, each of its block's width; `last` is its first then.
    """

    last: Tensor
    taps: Mapping[int, Tensor] = field(default_factory=dict)
    pyramid: Mapping[int, Tensor] = field(default_factory=dict)
