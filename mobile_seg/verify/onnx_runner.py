"""Run an ONNX file in ONNX Runtime."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, MissingExtraError, UsageError
from mobile_seg.manifest import MEMBER, Manifest
from mobile_seg.verify.runners import Runner

PACKAGE = "mobile-seg[onnx]"

METADATA = 14
"""Field of `metadata_props` in an ONNX model (onnx.proto, ModelProto); each entry is a key (1) and a value (2)."""

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int32)": "int32"}
"""ONNX Runtime's names of the types that our files have at their ends."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_onnx_manifest(content: bytes) -> Manifest | None:
    """Return the manifest in the metadata of an ONNX file's bytes, or None if it carries none.

    Reads the outermost records only, which is little work whatever lies inside, and needs neither ONNX nor its runtime.

    Raises:
        ArtifactError: if the bytes are no such file, cut short, or the manifest cannot be read.
    """
    try:
        for field, entry in _records(content):
            if field != METADATA or not isinstance(entry, memoryview):
                continue
            pair = {key: bytes(text) for key, text in _records(entry) if isinstance(text, memoryview)}
            if pair.get(1) == MEMBER.encode():
                return Manifest.from_json(pair.get(2, b"").decode("utf-8"))
    except (IndexError, UnicodeDecodeError) as error:
        raise ArtifactError("it is no ONNX file, or is cut short; export it again") from error
    return None


def _records(content: bytes | memoryview) -> Any:
    """Yield (field, value) of a protobuf message: a number, or the bytes of a string or message inside.

    Raises:
        IndexError: where it ends in the middle of a record, or a record is of no known kind.
    """
    view, place = memoryview(content), 0
    while place < len(view):
        tag, place = _varint(view, place)
        field, kind = tag >> 3, tag & 7
        if not field:
            raise IndexError
        if kind == _VARINT:
            value, place = _varint(view, place)
            yield field, value
            continue
        if kind == _BYTES:
            length, place = _varint(view, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise IndexError
        if place + length > len(view):
            raise IndexError
        yield field, view[place : place + length]
        place += length


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    """A number of up to 64 bits, seven to a byte, and where the next record begins."""
    value = 0
    for shift in range(0, 64, 7):
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise IndexError


def load_session(content: bytes, *, name: str, threads: int | None = None) -> Any:
    """Return ONNX Runtime's CPU session of `content`.

    Raises:
        ArtifactError: if the bytes are no ONNX model, or one that this runtime cannot run.
        MissingExtraError: if ONNX Runtime is not installed.
        UsageError: if `threads` is not positive.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}; give 1 or more")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            f'running .onnx files needs ONNX Runtime; install it with: pip install "{PACKAGE}"'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised below; it would be printed as well
    options.intra_op_num_threads = threads or 0
    # Without it, x86 processors that lack VNNI add two products in 16 bits and clip the sum, silently.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ArtifactError(
            f"{name} cannot be run: {reason.rstrip('.')}; it is cut short, damaged, or made for another runtime: "
            "export it again"
        ) from error


def open_onnx(path: str | os.PathLike[str], *, threads: int | None = None) -> "OnnxRunner":
    """Load an `.onnx` file together with the manifest inside it; raises as `open_artifact` does."""
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}; check the path") from error
    try:
        manifest = read_onnx_manifest(content)
    except ArtifactError as error:
        raise ArtifactError(f"{file}: {error}") from error
    if manifest is None:
        raise ArtifactError(
            f"{file} carries no manifest (it is cut short, or was not written by mobile-seg); "
            "make it again with `mobile-seg export`"
        )
    return OnnxRunner(content, manifest=manifest, path=file, threads=threads)


class OnnxRunner(Runner):
    """An ONNX model with one image input and one output, in ONNX Runtime on the CPU."""

    def __init__(
        self, content: bytes, *, manifest: Manifest, path: Path | None = None, threads: int | None = None
    ) -> None:
        """Load the bytes of a file.

        Raises:
            ArtifactError: if it cannot be run or does not match its manifest.
        """
        super().__init__(path=path, manifest=manifest, kind="onnx")
        self._session = load_session(content, name=self.name, threads=threads)
        self._content = content
        spec, output = manifest.input, manifest.output
        self._match("input", self._session.get_inputs(), spec.name, spec.dtype, self._shape(spec, [3]))
        depth = [] if self.gives_labels else [len(manifest.classes)]
        self._match("output", self._session.get_outputs(), output.name, output.dtype, self._shape(output, depth))
        if not self.gives_labels and output.dtype != "float32":
            if output.scale is None or output.zero_point is None or output.scale <= 0:
                raise ArtifactError(f"{self.name}: its integer output carries no scale; export it again")
            self.quantization = output.scale, output.zero_point

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model on `[1, height, width, 3]`, whatever its own layout; see `Runner.infer`."""
        if self.manifest.input.layout == "nchw":
            tensor = np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
        (made,) = self._session.run([self.manifest.output.name], {self.manifest.input.name: tensor})
        if self.manifest.output.layout == "nchw" and not self.gives_labels:
            made = made.transpose(0, 2, 3, 1)
        return np.asarray(made)[0]

    def constants(self) -> Mapping[str, np.ndarray]:
        """Return the file's weights and biases, dequantized; see `Runner.constants`."""
        from mobile_seg.verify.diagnosis.constants import onnx_constants

        return onnx_constants(self._content)

    def _shape(self, spec: Any, depth: list[int]) -> list[int]:
        """The tensor's shape by the manifest; class ids have no channels."""
        if spec.layout == "nchw" and depth:
            return [1, *depth, spec.height, spec.width]
        return [1, spec.height, spec.width, *depth]

    def _match(self, role: str, found: list[Any], name: str, dtype: str, shape: list[int]) -> None:
        if len(found) != 1:
            raise ArtifactError(f"{self.name} has {len(found)} {role} tensors, expected one; export it with mobile-seg")
        (tensor,) = found
        is_one = tensor.name, DTYPES.get(tensor.type, tensor.type), list(tensor.shape)
        if is_one != (name, dtype, shape):
            raise ArtifactError(
                f"{self.name}: its {role} is {is_one[0]}, {is_one[1]} {is_one[2]} but its manifest says {name}, "
                f"{dtype} {shape}; they are not of one model, export it again"
            )
