"""Run a model file as an app would: pre-process, infer and post-process by its manifest."""

import abc
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mobile_seg.artifact import kind_of, read_manifest
from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.imaging import Image, LabelMap, resize_image, resize_labels, resize_logits
from mobile_seg.manifest import Manifest


class Runner(abc.ABC):
    """One loaded model. `raw` below is the output as the runtime gives it, without the batch axis.

    `path` is None for a model that was never a file. `quantization` is the output's (scale, zero point),
    or None if its values are real numbers or class ids.
    """

    def __init__(self, *, path: Path | None, manifest: Manifest, kind: str) -> None:
        self.path = path
        self.manifest = manifest
        self.kind = kind
        self.quantization: tuple[float, int] | None = None

    @property
    def name(self) -> str:
        """Return what messages call this model: its path, else its name."""
        return str(self.path or self.manifest.model)

    @property
    def input_size(self) -> tuple[int, int]:
        """Return (height, width) of the input tensor."""
        return self.manifest.input.height, self.manifest.input.width

    @property
    def gives_labels(self) -> bool:
        """Say whether the output is class ids rather than logits."""
        return self.manifest.output.gives_labels

    def preprocess(self, image: Image) -> np.ndarray:
        """Stretch an image `[H, W, 3]` uint8 of any size to the input tensor `[1, height, width, 3]`.

        Raises:
            UsageError: if the image is not `[H, W, 3]` uint8.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(
                f"the image is {image.dtype} {list(image.shape)}, expected uint8 [H, W, 3]; convert it to 8-bit RGB"
            )
        return self._tensor(resize_image(image, self.input_size))[None]

    @abc.abstractmethod
    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model on `[1, height, width, 3]` and return raw: `[h, w, C]` logits or `[h, w]` class ids.

        Logits of a quantized output stay integers here, as in an app: argmax needs no real values.
        """

    def postprocess(self, raw: np.ndarray, size: tuple[int, int]) -> LabelMap:
        """Turn raw output, or the logits of `run`, into a uint8 label map of `size` (height, width).

        Logits are resized bilinearly, then the largest wins; class ids are resized by the nearest
        neighbour. Integer logits need no dequantization, their scale being one positive number.
        """
        if self.gives_labels:
            return resize_labels(raw.astype(np.uint8), size)
        if raw.shape[:2] == size:
            return raw.argmax(-1).astype(np.uint8)
        return _resized_argmax(raw.astype(np.float32, copy=False), size)

    def run(self, image: Image) -> np.ndarray:
        """Run on an image `[height, width, 3]` uint8 already at input size.

        Returns float32 logits `[h, w, C]`, dequantized, or integer class ids `[h, w]`.

        Raises:
            UsageError: if the image has another size.
        """
        if image.shape[:2] != self.input_size:
            raise UsageError(
                f"the image is {list(image.shape[:2])}, {self.name} takes {list(self.input_size)}; "
                "resize it first, or call segment()"
            )
        return self.dequantize(self.infer(self.preprocess(image)))

    def dequantize(self, raw: np.ndarray) -> np.ndarray:
        """Return raw logits as float32 real values; class ids pass unchanged."""
        if self.gives_labels:
            return raw
        if self.quantization is None:
            return raw.astype(np.float32, copy=False)
        scale, zero_point = self.quantization
        return (raw.astype(np.float32) - zero_point) * np.float32(scale)

    def infer_quantized(self, tensor: np.ndarray) -> tuple[np.ndarray, float, int]:
        """Run and return the integer logits `[h, w, C]`, their scale and zero point.

        Raises:
            UsageError: if the output is not quantized.
        """
        if self.quantization is None:
            raise UsageError(f"{self.name} has no quantized logits to read; use run()")
        return self.infer(tensor), *self.quantization

    def segment(self, image: Image) -> LabelMap:
        """Label an image `[H, W, 3]` uint8 of any size: uint8 class ids `[H, W]`."""
        return self.postprocess(self.infer(self.preprocess(image)), (image.shape[0], image.shape[1]))

    def constants(self) -> Mapping[str, np.ndarray]:
        """Return what the file computes with, tensor name → real values in the file's own layout, dequantized.

        Empty where the file's constants are not read.
        """
        return {}

    def _tensor(self, pixels: Image) -> np.ndarray:
        """Bytes `[h, w, 3]` to what the input tensor holds, for the dtypes of `InputSpec`."""
        spec = self.manifest.input
        if spec.dtype == "uint8":
            return pixels
        values = pixels.astype(np.float32)
        return (values - np.float32(spec.mean)) / np.float32(spec.std) if spec.normalized_outside else values


def _resized_argmax(logits: np.ndarray, size: tuple[int, int]) -> LabelMap:
    """Resize `[h, w, C]` float32 logits and take the largest, one class at a time, the first of equals.

    The full-size `[H, W, C]` is never held: for a photo it is larger than the model's own memory.
    """
    planes = np.ascontiguousarray(np.moveaxis(logits, -1, 0))[..., None]
    labels = np.zeros(size, np.uint8)
    best = resize_logits(planes[0], size)
    for number in range(1, len(planes)):
        plane = resize_logits(planes[number], size)
        np.copyto(labels, number, where=(plane > best)[..., 0], casting="unsafe")
        np.maximum(best, plane, out=best)
    return labels


def open_artifact(path: str | os.PathLike[str], *, threads: int | None = None) -> Runner:
    """Load a model file together with the manifest inside it.

    `threads` is the number of CPU threads of a `.tflite` or `.onnx`; None leaves the runtime's own choice.

    Raises:
        UsageError: for an unknown suffix, or `threads` where the format has none.
        ArtifactError: if the file is missing, cut short, damaged, or carries no manifest.
        MissingExtraError: if the runtime for this format is not installed.
    """
    kind = kind_of(path)
    if kind == "tflite":
        from mobile_seg.verify.tflite_runner import open_tflite

        return open_tflite(path, threads=threads)
    if kind == "onnx":
        from mobile_seg.verify.onnx_runner import open_onnx

        return open_onnx(path, threads=threads)
    if threads is not None:
        raise UsageError(f"threads={threads} applies to .tflite and .onnx files only; leave it out for {path}")
    if kind == "mlpackage":
        from mobile_seg.verify.coreml.runner import open_coreml

        return open_coreml(path)
    from mobile_seg.verify.keras_runner import KerasRunner, load_keras

    manifest = require_manifest(path)
    return KerasRunner(load_keras(path), manifest=manifest, path=Path(path))


def require_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Return the manifest inside a model file.

    Raises:
        UsageError: for an unknown suffix.
        ArtifactError: if there is no file, or no manifest in it: that is also how one that was cut short shows.
    """
    kind = kind_of(path)
    if kind == "onnx":
        from mobile_seg.verify.onnx_runner import read_onnx_manifest

        manifest = read_onnx_manifest(Path(path).read_bytes())
    elif kind == "mlpackage":
        from mobile_seg.verify.coreml.runner import read_coreml_manifest

        manifest = read_coreml_manifest(Path(path))
    else:
        manifest = read_manifest(path)
    if manifest is None:
        again = "train it with `mobile-seg train`, or save it by mobile_seg.keras_file.save_model"
        raise ArtifactError(
            f"{path} carries no manifest (it is cut short, or was not written by mobile-seg); "
            f"{again if kind == 'keras' else 'make it again with `mobile-seg export`'}"
        )
    return manifest
