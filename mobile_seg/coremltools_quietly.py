"""The one way to coremltools, which converters and verification both need."""

import importlib
import logging
import warnings
from typing import Any

from mobile_seg.errors import MissingExtraError


def coremltools(module: str = "coremltools", *, purpose: str = "exporting to Core ML") -> Any:
    """Import coremltools or a module of it, quietly; `purpose` is what the error says needs it.

    Raises:
        MissingExtraError: if it is not installed.
    """
    log = logging.getLogger("coremltools")
    level = log.level
    # It warns of a TensorFlow newer than it was tested with, and that Core ML itself is not here.
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{purpose} needs coremltools; install it with: pip install "mobile-seg[coreml]"'
        ) from error
    finally:
        log.setLevel(level)
