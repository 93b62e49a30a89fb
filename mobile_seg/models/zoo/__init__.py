"""The rows of every family."""

from mobile_seg.models.zoo import spinenet_seg, swidernet

ENTRIES = (*spinenet_seg.ENTRIES, *swidernet.ENTRIES)
