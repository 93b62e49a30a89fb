"""Artifacts run over the images that they will be compared on, in a process beside, while the next is converted.

A converter is one thread of Python; meanwhile another core is idle. The files are loaded from the disk by a process
that never saw their graphs, and what crashes on one crashes there.
"""

import contextlib
import functools
import hashlib
import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobile_seg import errors
from mobile_seg.artifact import kind_of
from mobile_seg.child_process import MODULE, ending
from mobile_seg.errors import ArtifactError, MobileSegError
from mobile_seg.files import write_bytes
from mobile_seg.imaging import Image
from mobile_seg.manifest import Manifest
from mobile_seg.verify.runners import Runner, open_artifact

COMMAND = (*MODULE, "mobile_seg.verify.ahead_worker")


@dataclass
class _Run:
    """What is known of one artifact: whether it was opened, its output on the first images, or why there is none."""

    begun: bool = False
    outputs: list[np.ndarray] = field(default_factory=list)
    error: MobileSegError | None = None


class Ahead:
    """The process, and what it has found so far. A context manager."""

    def __init__(self, images: Sequence[Image], folder: Path) -> None:
        """Start it for images `[H, W, 3]` uint8 at input size, which a file in `folder` hands over.

        Raises:
            DiskError: if that cannot be written.
        """
        self._count, self._places = len(images), {_key(image): place for place, image in enumerate(images)}
        shown = write_bytes(folder / "images.raw", b"".join(image.tobytes() for image in images))
        self._runs: dict[str, _Run] = {}
        self._told = threading.Condition()
        self._alive = True
        self._process = subprocess.Popen(
            [*COMMAND, str(shown), *map(str, (len(images), *images[0].shape))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # of what was not yet written to a dead process
                pipe.close()

    def runner(self, path: Path, manifest: Manifest) -> "AheadRunner":
        """Have an artifact run on every image, after those asked before; `manifest` is the one inside it."""
        with self._told:
            self._runs[str(path)] = _Run()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the listener sees that it has died
            self._process.stdin.write(f"{json.dumps(str(path))}\n".encode())
            self._process.stdin.flush()
        return AheadRunner(self, path, manifest)

    def output(self, path: Path, image: Image) -> np.ndarray | None:
        """What `Runner.run` gives there, as soon as it is known; None for another image, or if the process has ended.

        Raises:
            MobileSegError: what the artifact was refused for; ArtifactError if the process died on it.
        """
        run, place = self._runs[str(path)], self._places.get(_key(image))
        if place is None:
            return None
        with self._told:
            self._told.wait_for(lambda: len(run.outputs) > place or run.error or not self._alive)
        if len(run.outputs) > place:
            return run.outputs[place]
        if run.error is not None:
            raise run.error
        return None

    def _listen(self) -> None:
        """Take the answers until the process ends; the artifact that it was at then is to blame."""
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # of an answer that was cut short
            while said := self._process.stdout.readline():
                answer = json.loads(said)
                run, outputs, error = self._runs[answer["path"]], [], None
                if "error" in answer:
                    error = getattr(errors, answer["error"])(answer["reason"])
                elif "shape" in answer:
                    dtype = np.dtype(answer["dtype"])
                    content = self._process.stdout.read(int(np.prod(answer["shape"])) * dtype.itemsize)
                    outputs = [np.frombuffer(content, dtype).reshape(answer["shape"])]
                with self._told:
                    run.begun, run.outputs, run.error = True, run.outputs + outputs, error
                    self._told.notify_all()
        self._process.kill()  # one that no longer answers sensibly
        reason = f"it ended the process that ran it ({ending(self._process.wait())})"
        with self._told:
            self._alive = False
            for path, run in self._runs.items():
                if run.begun and not run.error and len(run.outputs) < self._count:
                    run.error = ArtifactError(f"{Path(path).name} cannot be run: {reason}; convert it again")
            self._told.notify_all()


class AheadRunner(Runner):
    """An artifact whose output on some images comes from the process beside; the rest is run here."""

    def __init__(self, ahead: Ahead, path: Path, manifest: Manifest) -> None:
        super().__init__(path=path, manifest=manifest, kind=kind_of(path))
        self._ahead, self._path = ahead, path
        output = manifest.output
        if output.scale is not None and output.zero_point is not None:
            self.quantization = output.scale, output.zero_point

    @functools.cached_property
    def here(self) -> Runner:
        """The artifact loaded in this process."""
        return open_artifact(self._path)

    def run(self, image: Image) -> np.ndarray:
        """Run on an image; see `Runner.run`."""
        found = self._ahead.output(self._path, image)
        return self.here.run(image) if found is None else found

    def preprocess(self, image: Image) -> np.ndarray:
        """See `Runner.preprocess`."""
        return self.here.preprocess(image)

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runner.infer`."""
        return self.here.infer(tensor)

    def constants(self) -> Mapping[str, np.ndarray]:
        """See `Runner.constants`."""
        return self.here.constants()


def _key(image: Image) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()
