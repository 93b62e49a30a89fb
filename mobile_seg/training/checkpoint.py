"""Checkpoints: model, optimizer, step and history in one `.npz`, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import CheckpointError
from mobile_seg.files import replacing
from mobile_seg.training.settings import differing

_ENTRY = "record"


def save(
    path: str | os.PathLike[str], model: keras.Model, *, step: int, history: list[dict[str, Any]], key: str
) -> None:
    """Write the state after `step` steps. `key` names what is being trained and how; `load` checks it.

    Raises:
        DiskError: if the disk is full; the checkpoint before is then untouched.
    """
    arrays = {f"model/{index}": ops.convert_to_numpy(v) for index, v in enumerate(model.variables)}
    arrays |= {f"optimizer/{index}": ops.convert_to_numpy(v) for index, v in enumerate(model.optimizer.variables)}
    record = json.dumps({"step": step, "history": history, "key": key}, allow_nan=False)
    arrays[_ENTRY] = np.frombuffer(record.encode("utf-8"), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def load(path: str | os.PathLike[str], model: keras.Model, *, key: str) -> tuple[int, list[dict[str, Any]]]:
    """Restore a compiled model and return (steps done, history). A file that is refused changes nothing.

    Raises:
        CheckpointError: if the file is damaged, or belongs to another model, dataset or recipe.
    """
    arrays, record = _read(path)
    if record["key"] != key:
        which = ", ".join(differing(record["key"], key)) or "settings"
        raise CheckpointError(
            f"{path} was written by a run that differed in: {which}; resume with what it was started with, "
            "or start anew without --resume under another name"
        )
    model.optimizer.build(model.trainable_variables)
    names = [f"model/{index}" for index in range(len(model.variables))]
    names += [f"optimizer/{index}" for index in range(len(model.optimizer.variables))]
    found = dict(zip(names, [*model.variables, *model.optimizer.variables], strict=True))
    shapes = {name: tuple(variable.shape) for name, variable in found.items()}
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise CheckpointError(f"{path} holds the weights of another network; delete it and start the phase anew")
    for name, variable in found.items():
        variable.assign(arrays[name])
    return record["step"], record["history"]


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Delete the temporary files of checkpoints at `path` whose writing was killed."""
    file = Path(path)
    for leftover in file.parent.glob(f".{file.stem}.*{file.suffix}"):
        leftover.unlink(missing_ok=True)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the whole file, its checksums included, before anything is restored from it."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        record = json.loads(arrays.pop(_ENTRY).tobytes().decode("utf-8"))
        return arrays, {"key": str(record["key"]), "step": int(record["step"]), "history": list(record["history"])}
    except Exception as error:  # NumPy and zipfile raise whatever the damage leads them to
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{path} cannot be read ({reason}); delete it and start the phase anew") from error
