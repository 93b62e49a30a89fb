"""The rows of every family."""

from mobile_seg.models.zoo import auto_deeplab, baselines, eff_spinenet, spinenet, spinenet_seg, swidernet

ENTRIES = (
    *spinenet_seg.ENTRIES,
    *spinenet.ENTRIES,
    *eff_spinenet.ENTRIES,
    *swidernet.ENTRIES,
    *auto_deeplab.ENTRIES,
    *baselines.ENTRIES,
)
