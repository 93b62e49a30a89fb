"""mobile-seg: from labelled images to an int8 segmentation model for phones, with proof.

The verbs are imported when first used: `import mobile_seg` alone loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

from mobile_seg.registration import register

if TYPE_CHECKING:
    from mobile_seg.api import analyze, build, evaluate, export, export_all, predict, profile, quantize, train
    from mobile_seg.tflite import to_tflite

register()

__all__ = [
    "analyze",
    "build",
    "evaluate",
    "export",
    "export_all",
    "predict",
    "profile",
    "quantize",
    "to_tflite",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "to_tflite":
        from mobile_seg.tflite import to_tflite

        return to_tflite
    if name in __all__:
        from mobile_seg import api

        return getattr(api, name)
    raise AttributeError(f"module 'mobile_seg' has no attribute {name!r}; its verbs are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
