"""Look into a model file of any of the formats."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

from mobile_seg.artifact import kind_of
from mobile_seg.errors import ArtifactError, MobileSegError
from mobile_seg.inspection.child import Child
from mobile_seg.inspection.coreml import inspect_coreml
from mobile_seg.inspection.keras import inspect_keras
from mobile_seg.inspection.onnx import inspect_onnx
from mobile_seg.inspection.records import Inspection, Layer, Tensor, Verdict, damaged
from mobile_seg.inspection.tflite import inspect_tflite

READERS = {"tflite": inspect_tflite, "onnx": inspect_onnx, "mlpackage": inspect_coreml, "keras": inspect_keras}

PROGRAMS = {
    "tflite": "LiteRT",
    "onnx": "onnx",
    "keras": "Keras",
    **({"mlpackage": "Core ML"} if sys.platform == "darwin" else {}),
}
"""Format → who is asked about the file; Core ML itself is there on macOS only."""


def inspect_file(path: str | os.PathLike[str], *, child: Child | None = None) -> Inspection:
    """Look into a model file, ours or not.

    The file is parsed here without running native code on it; the program that would run it is asked in a process of
    its own: in `child` if one is given, so that many files share it. A file that it refuses is still described.

    Raises:
        UsageError: for a suffix that is not a model's.
        ArtifactError: if the file is missing, cut short or damaged.
        MissingExtraError: if the package that knows the format is not installed.
    """
    kind, file = kind_of(path), Path(path)
    try:
        found = READERS[kind](file)
        found.to_dict()  # what can be read must be showable: texts inside may nest without end
    except RecursionError as error:
        raise damaged(file, "what it says of itself nests without end") from error
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}; check the path") from error
    except MobileSegError as error:
        # Parts that are read by themselves, such as the manifest, do not know the file's name.
        raise error if str(file) in str(error) else type(error)(f"{file}: {error}") from error
    if kind not in PROGRAMS:
        return found
    if child is not None:
        return _with_verdict(found, child, PROGRAMS[kind])
    with Child() as own:
        return _with_verdict(found, own, PROGRAMS[kind])


def _with_verdict(found: Inspection, child: Child, program: str) -> Inspection:
    verdict, more = child.ask(program, found.path)
    verdict = Verdict(verdict.program, verdict.accepted, verdict.reason.replace(f"{found.path} ", "it "))
    added: dict[str, Any] = {}
    if "outputs" in more:
        added["outputs"] = tuple(Tensor(one["name"], tuple(one["shape"]), one["dtype"]) for one in more["outputs"])
    if "layers" in more:
        layers = [Layer(**{**one, "shape": tuple(one["shape"])}) for one in more["layers"]]
        added["layers"] = tuple(sorted(layers, key=lambda layer: -layer.size_bytes))
    return dataclasses.replace(found, verdicts=(*found.verdicts, verdict), **added)
