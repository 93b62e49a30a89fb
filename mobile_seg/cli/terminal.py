"""What the commands print: results on standard output, progress on standard error. No colour, so NO_COLOR holds."""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any


def say(*lines: str) -> None:
    """Print lines of results."""
    for line in lines:
        print(line)


def say_json(value: Any) -> None:
    """Print a value as JSON, and nothing else may be printed beside it."""
    print(json.dumps(value, indent=2, allow_nan=False))


def note(line: str) -> None:
    """Print a line that is no result, on standard error."""
    print(line, file=sys.stderr)


def next_step(*commands: str) -> None:
    """Print what is useful to do now."""
    say("", "next:", *(f"  {command}" for command in commands))


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = ()) -> list[str]:
    """Align columns: the first to the left, the others, which are numbers, to the right."""
    lines = [*([list(header)] if header else []), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in _cells(line, widths))
        for line in lines
    ]


def _cells(line: Sequence[str], widths: Sequence[int]) -> Iterable[tuple[int, tuple[str, int]]]:
    return enumerate(zip(line, widths, strict=True))


def percent(share: float | None) -> str:
    """A fraction as a percentage; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.2f}%"


def megabytes(size: int) -> str:
    """Bytes as MB (10^6), as file managers and app stores count."""
    return f"{size / 1e6:.2f} MB"


class Progress:
    """A progress callback, `progress(done, total, text)`; a context manager.

    On a terminal: one bar per stage, with the time left. Elsewhere: one line per finished stage. A stage
    ends when it is done, when the count falls back, or when its first word changes.
    """

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._bars = self._stream.isatty()
        self._bar: Any = None
        self._stage: tuple[int, str] | None = None
        self._done = 0
        self._started = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, done: int, total: int, text: str) -> None:
        stage = (total, text.split(" ")[0])
        if stage != self._stage or done < self._done:
            self._close()
            self._open(stage, done, text)
        self._done = done
        if self._bar is not None:
            self._bar.set_description(text, refresh=False)
            self._bar.update(done - self._bar.n)
        if done >= total:
            if self._bar is None:
                note(f"{text}: {total} in {time.monotonic() - self._started:.0f} s")
            self._close()

    def _open(self, stage: tuple[int, str], done: int, text: str) -> None:
        self._stage, self._started = stage, time.monotonic()
        if self._bars:
            from tqdm import tqdm

            # `initial`: a resumed training has most of its steps behind it, taken in no time. The
            # size: tqdm's own measure shows nothing at all on a terminal that does not tell it.
            columns, rows = shutil.get_terminal_size()
            self._bar = tqdm(desc=text, total=stage[0], initial=done, file=self._stream, ncols=columns, nrows=rows)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._stage, self._done = None, None, 0
