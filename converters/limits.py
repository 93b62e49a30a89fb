"""What no file can hold, refused before anything is converted."""

import keras

from mobile_seg.errors import UsageError

LARGEST = 2**31 - 2**24
"""Bytes of weights that fit a file: a flatbuffer's offsets and protobuf's lengths have 31 bits, and the graph needs
some room."""


def demand_sizes(model: keras.Model) -> None:
    """Check that every input has a size.

    Raises:
        UsageError: if one is open.
    """
    for tensor in model.inputs:
        if None in tensor.shape[1:]:
            raise UsageError(f"{model.name} takes {tensor.shape}; a file has one size: build it with all sizes given")


def demand_room(model: keras.Model, *, weight_bytes: int, kind: str, form: str = "") -> None:
    """Check that a file of this kind (`.tflite`) can hold the model's weights, written in `weight_bytes` bytes each.

    Raises:
        UsageError: if not; `form` says as what they are written, where that is not what was asked for.
    """
    count = model.count_params()
    if weight_bytes * count > LARGEST:
        raise UsageError(
            f"{model.name} has {count / 1e6:.0f} million weights, {weight_bytes * count / 1e9:.1f} GB "
            f"{form or 'once written'}; {'an' if kind == '.onnx' else 'a'} {kind} file ends at 2 GB: build a narrower "
            "or shallower network"
        )
