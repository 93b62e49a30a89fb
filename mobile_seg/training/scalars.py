"""TensorBoard scalars, written without TensorFlow (TensorBoard's own writer imports it wherever it finds it)."""

import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

from mobile_seg.errors import DiskError


class Scalars:
    """An event file of one phase. Use it as a context manager; nothing is opened before.

    `start` is the number of steps already done: events of later steps that an interrupted run left in the
    folder are superseded, so that the curves show each step once.
    """

    def __init__(self, folder: Path, *, start: int = 0) -> None:
        self._folder = folder
        self._start = start
        self._stream: BinaryIO | None = None

    def __enter__(self) -> "Scalars":
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        # The nanoseconds keep the files of a run and its resumption apart, and in order.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._stream = (self._folder / name).open("wb")
        except OSError as error:
            raise self._error(error) from error
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        restart = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=time.time(), step=self._start + 1, session_log=restart))
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write the values after `step` steps, by name.

        Raises:
            DiskError: if the disk is full.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._stream is not None, "enter the context first"
        try:
            RecordWriter(self._stream).write(event.SerializeToString())
            self._stream.flush()
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> DiskError:
        return DiskError(
            f"cannot write TensorBoard's events in {self._folder}: {error.strerror or error}. Free some space or "
            "choose another folder, and go on with --resume"
        )
