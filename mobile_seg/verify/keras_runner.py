"""Run a Keras model, from a `.keras` file or in memory."""

import errno
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, DiskError
from mobile_seg.manifest import Manifest
from mobile_seg.verify.runners import Runner


class KerasRunner(Runner):
    """A Keras model that takes float32 RGB `[1, H, W, 3]` and returns logits `[1, h, w, C]`.

    `model` is that model.
    """

    def __init__(self, model: Any, *, manifest: Manifest, path: Path | None = None) -> None:
        """Take a loaded model.

        Raises:
            ArtifactError: if its output does not have as many channels as the manifest has classes.
        """
        super().__init__(path=path, manifest=manifest, kind="keras")
        shape = tuple(model.output_shape)
        if not self.gives_labels and shape[-1] != len(manifest.classes):
            raise ArtifactError(
                f"{self.name}: the model's output is {list(shape)} but its manifest names {len(manifest.classes)} "
                "classes; they are not of one model, save it again"
            )
        self.model = model

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model; see `Runner.infer`."""
        output = np.asarray(self.model.predict_on_batch(tensor))[0]
        # Under mixed precision the last layer may give float16.
        return output if self.gives_labels else output.astype(np.float32, copy=False)


def load_keras(path: str | os.PathLike[str]) -> Any:
    """Load a `.keras` model in safe mode, our own layers registered, not compiled.

    Raises:
        ArtifactError: if it cannot be loaded, with the first line of Keras' reason.
        DiskError: if the disk is full: Keras may unpack weights into temporary files.
    """
    import keras

    try:
        # Keras seeks inside the archive, past its checksums: damaged weights would load without a word.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the failing layer raises
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskError(
                f"cannot unpack {path}: {error.strerror}. Free some space in {tempfile.gettempdir()}, or set TMPDIR"
            ) from error
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"{path} cannot be loaded: {reason.rstrip('.')}; it is damaged, or of another version: save it again"
        ) from error
