"""Run a TFLite file in LiteRT."""

import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError
from mobile_seg.manifest import Manifest
from mobile_seg.verify.runners import Runner, require_manifest

IDENTIFIER = b"TFL3"
"""Bytes 4 to 8 of every TFLite flatbuffer."""


def runtime() -> str:
    """Return the package that runs TFLite files: `ai_edge_litert`, or its old name where only that exists.

    Raises:
        MissingExtraError: if neither is installed.
    """
    for package in ("ai_edge_litert", "tflite_runtime"):
        if importlib.util.find_spec(package) is not None:
            return package
    raise MissingExtraError("running .tflite files needs LiteRT; install it with: pip install ai-edge-litert")


def load_interpreter(content: bytes, *, name: str, threads: int | None = None) -> Any:
    """Return an interpreter of `content` with its tensors allocated.

    LiteRT verifies the whole flatbuffer before it reads it, so cut or scrambled bytes are refused here.

    Raises:
        ArtifactError: if the bytes are no TFLite model, or one that this runtime cannot run.
        MissingExtraError: if LiteRT is not installed.
        UsageError: if `threads` is not positive.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}; give 1 or more")
    if content[4:8] != IDENTIFIER:
        raise ArtifactError(f"{name} is not a TFLite model (no TFL3 mark at its start); export it again")
    interpreter_class = importlib.import_module(f"{runtime()}.interpreter").Interpreter
    try:
        interpreter = interpreter_class(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"{name} cannot be run: {reason.rstrip('.')}; it is cut short, damaged, or made for another runtime: "
            "export it again"
        ) from error
    return interpreter


def open_tflite(path: str | os.PathLike[str], *, threads: int | None = None) -> "TFLiteRunner":
    """Load a `.tflite` file together with the manifest inside it; raises as `open_artifact` does."""
    file = Path(path)
    manifest = require_manifest(file)
    return TFLiteRunner(file.read_bytes(), manifest=manifest, path=file, threads=threads)


class TFLiteRunner(Runner):
    """A TFLite model with one image input and one output, in LiteRT with its default delegate (XNNPACK)."""

    def __init__(
        self, content: bytes, *, manifest: Manifest, path: Path | None = None, threads: int | None = None
    ) -> None:
        """Load the bytes of a file; what is appended to the flatbuffer (the manifest) does no harm.

        Raises:
            ArtifactError: if it cannot be run or does not match its manifest.
        """
        super().__init__(path=path, manifest=manifest, kind="tflite")
        self._content = content
        self._interpreter = load_interpreter(content, name=self.name, threads=threads)
        self._input = self._only("input", self._interpreter.get_input_details())
        self._output = self._only("output", self._interpreter.get_output_details())
        spec, output = manifest.input, manifest.output
        self._match("input", self._input, [1, spec.height, spec.width, 3], spec.dtype)
        depth = [] if self.gives_labels else [len(manifest.classes)]
        self._match("output", self._output, [1, output.height, output.width, *depth], output.dtype)
        if not self.gives_labels and np.issubdtype(self._output["dtype"], np.integer):
            self.quantization = self._output_quantization()

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model; see `Runner.infer`."""
        self._interpreter.set_tensor(self._input["index"], tensor)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]

    def constants(self) -> Mapping[str, np.ndarray]:
        """Return the file's weights and biases, dequantized; see `Runner.constants`."""
        from mobile_seg.verify.diagnosis.constants import tflite_constants

        return tflite_constants(self._content)

    def _tensor(self, pixels: np.ndarray) -> np.ndarray:
        if self.manifest.input.dtype != "int8":
            return super()._tensor(pixels)
        spec = self.manifest.input
        if not spec.normalized_outside:
            # The same bytes as the uint8 input takes, seen from a zero point that lies 128 lower.
            return (pixels ^ 0x80).view(np.int8)
        scale, zero_point = self._input["quantization"]
        real = (pixels.astype(np.float64) - spec.mean) / spec.std
        # Half up, not half to even: with a mean of 127.5 every byte is a tie and neighbours would merge.
        return np.clip(np.floor(real / scale + 0.5) + zero_point, -128, 127).astype(np.int8)

    def _only(self, role: str, details: list[dict[str, Any]]) -> dict[str, Any]:
        if len(details) != 1:
            raise ArtifactError(
                f"{self.name} has {len(details)} {role} tensors, expected one; export it with mobile-seg"
            )
        return details[0]

    def _match(self, role: str, details: dict[str, Any], shape: list[int], dtype: str) -> None:
        found = [int(size) for size in details["shape"]], np.dtype(details["dtype"]).name
        if found != (shape, dtype):
            raise ArtifactError(
                f"{self.name}: its {role} is {found[1]} {found[0]} but its manifest says {dtype} {shape}; "
                "they are not of one model, export it again"
            )

    def _output_quantization(self) -> tuple[float, int]:
        scale, zero_point = (float(self._output["quantization"][0]), int(self._output["quantization"][1]))
        said = self.manifest.output.scale, self.manifest.output.zero_point
        if scale <= 0:
            raise ArtifactError(f"{self.name}: its integer output carries no scale; export it again")
        if said[0] is None or not np.isclose(said[0], scale, rtol=1e-5, atol=0.0) or said[1] != zero_point:
            raise ArtifactError(
                f"{self.name}: its output has scale {scale:.8g}, zero point {zero_point} but its manifest says "
                f"{said[0]}, {said[1]}; they are not of one model, export it again"
            )
        return scale, zero_point
