"""Keeping what native libraries write to the terminal apart from what we say."""

import contextlib
import faulthandler
import os
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def quiet_libraries(*, enabled: bool) -> Iterator[None]:
    """Send what C++ code writes to file descriptor 2 nowhere; `sys.stderr` still reaches the terminal.

    LiteRT, CUDA's loader, Abseil and FFmpeg write notes there that no setting turns off. Python's own
    warnings and our messages go through `sys.stderr`. A crash in native code still shows its stack.
    """
    if not enabled:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            terminal = os.dup(2)
        except OSError:  # there is no standard error to keep clean
            yield
            return
        stack.callback(os.close, terminal)
        before = sys.stderr
        before.flush()
        if _writes_to(before, 2):
            sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1, encoding=before.encoding, errors=before.errors)
            # Not closed: a logging handler made meanwhile may write to it as late as at exit.
            stack.callback(setattr, sys, "stderr", before)
        if not faulthandler.is_enabled():
            faulthandler.enable(terminal)
            stack.callback(faulthandler.disable)
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        stack.callback(os.dup2, terminal, 2)
        yield


def _writes_to(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):  # replaced by something that is no file
        return False
