"""What worker processes and those who start them share."""

import os
import signal
import sys
from typing import BinaryIO

MODULE = (sys.executable, *(("-P",) if sys.version_info >= (3, 11) else ()), "-m")
"""Runs a module by its name, this package's and not one in the current folder (from Python 3.11 on)."""


def own_output() -> BinaryIO:
    """Take standard output over for answers alone: what native code prints from now on goes nowhere."""
    mine = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    return mine


def ending(code: int) -> str:
    """How a process ended, by its return code: its exit code, or the signal that killed it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
