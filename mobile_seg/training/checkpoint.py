"""Checkpoints: model, optimizer, step and history in one `.npz`, written whole or not at all."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import CheckpointError
from mobile_seg.files import replacing

_ENTRY = "record"


def save(path: str | os.PathLike[str], model: keras.Model, *, step: int, history: list[dict[str, Any]], key: str) -> None:
    """Write the state after `step` steps. `key` names what is being trained and how; `load` checks it."""
    arrays = {f"model/{index}": ops.convert_to_numpy(v) for index, v in enumerate(model.variables)}
    arrays |= {f"optimizer/{index}": ops.convert_to_numpy(v) for index, v in enumerate(model.optimizer.variables)}
    record = json.dumps({"step": step, "history": history, "key": key})
    arrays[_ENTRY] = np.frombuffer(record.encode("utf-8"), np.uint8)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def load(path: str | os.PathLike[str], model: keras.Model, *, key: str) -> tuple[int, list[dict[str, Any]]]:
    """Restore a compiled model and return (steps done, history).

    Raises:
        CheckpointError: if the file is damaged, or belongs to another model, dataset or recipe.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            record = json.loads(arrays[_ENTRY].tobytes().decode("utf-8"))
            if record["key"] != key:
                raise CheckpointError(
                    f"{path} was written by a run with other settings; resume with the settings it was "
                    "started with, or start anew without --resume under another name"
                )
            model.optimizer.build(model.trainable_variables)
            _assign(model.variables, arrays, "model")
            _assign(model.optimizer.variables, arrays, "optimizer")
            return record["step"], record["history"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{Path(path)} cannot be read ({error}); delete it and start the phase anew") from error


def _assign(variables: list[Any], arrays: Any, group: str) -> None:
    for index, variable in enumerate(variables):
        value = arrays[f"{group}/{index}"]
        if value.shape != tuple(variable.shape):
            raise ValueError(f"{variable.path} is {tuple(variable.shape)}, the file has {value.shape}")
        variable.assign(value)
