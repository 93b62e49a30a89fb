"""The table of MIL operations that the evaluator knows."""

from collections.abc import Callable
from typing import Any

from mobile_seg.verify.coreml import elementwise, quantized, resizing, shapes, windows

OPERATIONS: dict[str, Callable[..., Any]] = {
    **elementwise.OPERATIONS,
    **quantized.OPERATIONS,
    **resizing.OPERATIONS,
    **shapes.OPERATIONS,
    **windows.OPERATIONS,
}
"""Type → a function whose parameters are MIL's, which returns an array, or a list for several outputs."""
