"""Native code on files that may be hostile, in a process of its own: `python -m mobile_seg.inspection.worker`.

Reads requests from standard input, one JSON object a line, `{"program", "path"}`, and answers each with a line on
standard output. Its memory is limited; whoever asks limits the time, and starts another when this one dies.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from mobile_seg.child_process import own_output

MEMORY = {"LiteRT": 2 << 30, "onnx": 2 << 30, "Core ML": 8 << 30, "Keras": 8 << 30}
"""Bytes beyond those in use once the program is loaded; a file that needs more is refused by the failed allocation."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Ask a program about a file: `{"accepted", "reason"}`, of Keras `{"outputs", "layers"}` as well."""
    try:
        found = PROGRAMS[request["program"]](request["path"])
    except MemoryError:
        return {"accepted": False, "reason": "it takes more memory than is allowed here"}
    except Exception as error:  # each program has errors of its own; any is a refusal
        said = error.__cause__ or error  # ours name the fix as well, for files of ours
        line = next(iter(str(said).strip().splitlines()), type(said).__name__)
        return {"accepted": False, "reason": line}
    return {"accepted": True, "reason": "", **found}


def _litert(path: str) -> dict[str, Any]:
    from mobile_seg.verify.tflite_runner import load_interpreter

    load_interpreter(Path(path).read_bytes(), name="it", threads=1)
    return {}


def _onnx(path: str) -> dict[str, Any]:
    import onnx

    onnx.checker.check_model(path)
    return {}


def _core_ml(path: str) -> dict[str, Any]:
    import coremltools

    coremltools.models.MLModel(path)
    return {}


def _keras(path: str) -> dict[str, Any]:
    from mobile_seg.verify.keras_runner import load_keras

    model = load_keras(path)
    outputs = [
        {
            "name": str(output.name),
            "shape": [-1 if side is None else int(side) for side in output.shape],
            "dtype": str(output.dtype),
        }
        for output in model.outputs
    ]
    return {"outputs": outputs, "layers": [_layer(layer) for layer in model.layers if layer.weights]}


def _layer(layer: Any) -> dict[str, Any]:
    largest = max(layer.weights, key=lambda weight: weight.numpy().nbytes)
    return {
        "name": layer.name,
        "operation": type(layer).__name__,
        "dtype": str(largest.dtype),
        "shape": [int(side) for side in largest.shape],
        "size_bytes": sum(weight.numpy().nbytes for weight in layer.weights),
    }


PROGRAMS = {"LiteRT": _litert, "onnx": _onnx, "Core ML": _core_ml, "Keras": _keras}

_LOADED = {
    "LiteRT": ("mobile_seg.verify.tflite_runner", "ai_edge_litert.interpreter"),
    "onnx": ("onnx",),
    "Core ML": ("coremltools",),
    "Keras": ("keras",),
}
"""What to import before memory is limited: their code is no part of a file's."""


def _limit(program: str) -> None:
    import importlib
    import importlib.util

    for name in _LOADED[program]:
        if importlib.util.find_spec(name.split(".")[0]) is not None:
            importlib.import_module(name)
    if sys.platform == "win32":  # it has no such limit; the time limit holds
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    limit = pages * resource.getpagesize() + MEMORY[program]
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> int:
    """Answer until the input ends."""
    answers, limited = own_output(), False
    for line in sys.stdin:
        request = json.loads(line)
        if not limited:
            _limit(request["program"])
            limited = True
        answers.write(f"{json.dumps(answer(request))}\n".encode())
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
