"""Ctrl-C between two steps, never inside one."""

import signal
import threading
from types import FrameType
from typing import Any


class Interruption:
    """Holds the first Ctrl-C back until asked; the second acts at once. A context manager.

    A step updates hundreds of variables; interrupted halfway it would leave a state that no run ever has.
    Outside the main thread, where Python delivers no signals, and where Ctrl-C is ignored, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> "Interruption":
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            signal.signal(signal.SIGINT, self._note)
            self._before = before
        return self

    def __exit__(self, *exception: Any) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
