"""Quantization-aware training for functional Keras 3 models, and post-training quantization as its zero-step case."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mobile_seg.quantization.entry import quantize

__all__ = ["quantize"]


def __getattr__(name: str) -> Any:
    """Import `quantize` when it is first used: reading a scheme's name must not load Keras."""
    if name == "quantize":
        from mobile_seg.quantization.entry import quantize

        return quantize
    raise AttributeError(f"module 'mobile_seg.quantization' has no attribute {name!r}; it has quantize")
