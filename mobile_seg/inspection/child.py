"""The process that runs native code on files (`mobile_seg.inspection.worker`), asked with a time limit."""

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping
from typing import Any

from mobile_seg.child_process import MODULE, ending
from mobile_seg.inspection.records import Verdict

COMMAND = (*MODULE, "mobile_seg.inspection.worker")

SECONDS = {"LiteRT": 30.0, "onnx": 30.0, "Core ML": 120.0, "Keras": 180.0}
"""How long each program may take over a file; whatever takes longer counts as refused."""

START = 120.0
"""Seconds more for the first file: the process starts, and imports what it needs."""


class Child:
    """A worker that is started when first asked, serves many files, and is replaced when it dies or hangs.

    A context manager; it has one owner.
    """

    def __init__(self, *, seconds: Mapping[str, float] | None = None) -> None:
        """`seconds` are the limits by program."""
        self._seconds = {**SECONDS, **(seconds or {})}
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._program = ""
        self.started = 0

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, program: str, path: str | os.PathLike[str]) -> tuple[Verdict, dict[str, Any]]:
        """What a program says of a file, and what else it found."""
        limit = self._seconds[program]
        if self._process is None or self._program != program:
            self._start(program)
            limit += START
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"program": program, "path": os.fspath(path)}) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            self.close()
            return Verdict(program, False, f"it did not answer within {limit:.0f} s"), {}
        except OSError:
            line = ""
        if not line:  # the worker's end of the pipe is closed
            return Verdict(program, False, self._ending()), {}
        found: dict[str, Any] = json.loads(line)
        return Verdict(program, found.pop("accepted"), found.pop("reason")), found

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # of what was not yet written to a dead worker
                    pipe.close()
        self._process = None

    def _start(self, program: str) -> None:
        self.close()
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self._program, self._answers = program, queue.Queue()
        self.started += 1
        threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()

    def _ending(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        self.close()
        return f"it ended the process ({ending(code)})"


def _listen(process: "subprocess.Popen[str]", answers: "queue.Queue[str]") -> None:
    """Hand on each line, and an empty one at the end."""
    assert process.stdout is not None
    with contextlib.suppress(ValueError, OSError):  # closed while we read
        for line in process.stdout:
            answers.put(line)
    answers.put("")
