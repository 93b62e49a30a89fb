"""The argument parser and the kinds of values that arguments have.

A value that does not parse raises `UsageError`, which `main` renders: argparse has no say in the wording.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from mobile_seg.errors import UsageError, choose


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of exiting, and takes no abbreviated options: they break when one is added."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **kwargs})

    def print_help(self, file: Any = None) -> None:
        """Write the help; argparse would swallow that nobody reads it."""
        (file or sys.stdout).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def unknown(kind: str, value: str, accepted: Sequence[str]) -> str:
    """The message for a command or option that does not exist."""
    near = difflib.get_close_matches(value, accepted, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    listed = f" Choose from {', '.join(accepted)}." if kind == "command" else ""
    return f"unknown {kind} {value!r}.{hint}{listed}"


def size(text: str) -> tuple[int, int]:
    """`256x352` → (256, 352), height first."""
    match = re.fullmatch(r"(\d+)[xX×](\d+)", text)
    if not match:
        raise UsageError(f"input size {text!r} is not HEIGHTxWIDTH in pixels; write it like 256x352.")
    return int(match[1]), int(match[2])


def whole_number(name: str, *, low: int = 1) -> Callable[[str], int]:
    """A parser of integers of at least `low`, for the option `name`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise UsageError(f"{name} {text!r} is not a whole number; write it like {name} {max(low, 2)}.") from None
        if value < low:
            raise UsageError(f"{name} {value} is too small; give at least {low}.")
        return value

    return parse


def number(name: str, *, low: float = 0.0, high: float | None = None) -> Callable[[str], float]:
    """A parser of numbers from `low` to `high`, for the option `name`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"{name} {text!r} is not a number; write it like {name} 0.1.") from None
        if not low <= value <= (float("inf") if high is None else high) or value == float("inf"):
            raise UsageError(
                f"{name} {text} is out of range; give {low:g} {'or more' if high is None else f'to {high:g}'}."
            )
        return value

    return parse


def whole_numbers(name: str, example: str) -> Callable[[str], tuple[int, ...]]:
    """A parser of comma-separated positive integers, each once, for the option `name`."""

    def parse(text: str) -> tuple[int, ...]:
        parts = [part.strip() for part in text.split(",")]
        if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
            raise UsageError(
                f"{name} {text!r} is not a list of positive whole numbers; write it like {name} {example}."
            )
        values = tuple(int(part) for part in parts)
        if len(set(values)) < len(values):
            raise UsageError(f"{name} {text!r} names a value twice; give each once.")
        return values

    return parse


def one_of(name: str, accepted: Sequence[str]) -> Callable[[str], str]:
    """A parser of one of `accepted`."""
    return lambda text: choose(name, text, tuple(accepted))


def some_of(name: str, accepted: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of a comma-separated list out of `accepted`, each once."""
    return lambda text: tuple(dict.fromkeys(choose(name, part.strip(), tuple(accepted)) for part in text.split(",")))


def run_name(text: str) -> str:
    """A name that is one folder below the runs' folder."""
    if not re.fullmatch(r"[\w.+-]+", text) or text in (".", ".."):
        raise UsageError(f"--name {text!r} must be one folder name: letters, digits, and any of . _ + -")
    return text


def listed(values: Sequence[Any]) -> str:
    """A tuple as it is written on the command line."""
    return ",".join(str(value) for value in values)
