"""The rows of every family."""

from mobile_seg.models.zoo import spinenet_seg

ENTRIES = (*spinenet_seg.ENTRIES,)
