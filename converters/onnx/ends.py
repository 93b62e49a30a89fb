"""Both ends of an ONNX graph: which tensors come in, what is handed out."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mobile_seg.converters.onnx.graph import FIRST, LAST, Grid, Value
from mobile_seg.converters.onnx.pixels import resized
from mobile_seg.converters.onnx.site import Site, grid_of, is_quantizer

_CLOSE = 1e-6
"""Relative; scale and offset of a Rescaling are float32."""


@dataclass(frozen=True)
class Ends:
    """The form of a file's ends: `io`, `layout` and `output` as in `ExportOptions`; `integers`: of the graph inside."""

    io: str
    layout: str
    output: str
    integers: bool


def given(site: Site, tensor: Any, name: str, ends: Ends) -> Any:
    """Take one of the model's inputs; return its description for the file.

    Bytes whose Rescaling is the grid of the quantizer behind it are integers on that grid as they are. With floats at
    the ends of an integer graph that Rescaling stays outside: the input is what it would give.
    """
    made, layer = site.made, tensor._keras_history.operation.name
    shape = (1, *tensor.shape[1:])
    image, first = len(shape) == 4, ends.layout == "nchw" and len(shape) == 4
    kinds = made.onnx.TensorProto
    kind = kinds.UINT8 if ends.io == "uint8" else kinds.FLOAT
    stored = [shape[axis] for axis in FIRST] if first else list(shape)
    entering = name
    if image and not first:
        entering = made.node("Transpose", [name], f"{layer}_nchw", perm=FIRST)
    rescaling = input_rescaling(site, layer) if ends.integers else None
    bytes_grid = _bytes_grid(site, layer, rescaling)
    if ends.io == "uint8" and bytes_grid is not None:
        value = Value(shape, None, image, entering, bytes_grid)
    elif ends.io == "uint8":
        value = Value(shape, made.node("Cast", [entering], f"{layer}_cast", to=kinds.FLOAT), image)
    else:
        value = Value(shape, entering, image)
    site.known[layer] = value
    if rescaling is not None and (ends.io == "float" or value.grid is not None):
        site.known[rescaling.name] = value
    return made.onnx.helper.make_tensor_value_info(name, kind, stored)


def input_rescaling(site: Site, name: str) -> Any | None:
    """The Rescaling that alone reads an input and has a quantizer behind it, or None."""
    layer = site.follower(name)
    if (
        layer is None
        or type(layer) is not keras.layers.Rescaling
        or np.size(layer.scale) != 1
        or np.size(layer.offset) != 1
    ):
        return None
    behind = site.follower(layer.name)
    return layer if behind is not None and is_quantizer(behind) else None


def _bytes_grid(site: Site, name: str, rescaling: Any | None) -> Grid | None:
    """The grid of the quantizer that reads the (rescaled) bytes, if its integers are the bytes."""
    behind = site.follower(name if rescaling is None else rescaling.name)
    if behind is None or not is_quantizer(behind):
        return None
    scale, offset = (1.0, 0.0)
    if rescaling is not None:
        scale, offset = float(np.squeeze(rescaling.scale)), float(np.squeeze(rescaling.offset))
    grid = grid_of(behind)
    same = abs(grid.scale / scale - 1.0) <= _CLOSE and abs(-offset / scale - grid.zero_point) <= 255 * _CLOSE
    return grid if same else None


def finished(site: Site, value: Value, name: str, ends: Ends, size: tuple[int, int] | None) -> Any:
    """Hand out one of the model's outputs, and return its description for the file. `size`: the input's."""
    made, kinds = site.made, site.made.onnx.TensorProto
    if ends.output.startswith("labels"):
        assert size is not None
        tensor, kind, shape = _labels(site, value, ends.output, size)
    else:
        integers = ends.io == "uint8" and ends.integers and value.grid is not None
        kind = kinds.UINT8 if integers else kinds.FLOAT
        if len(value.shape) != 4:
            value = made.flat(value, name)
        tensor, shape = value.tensor if integers else made.floats(value), value.shape
        if len(shape) == 4:
            first = ends.layout == "nchw"
            if value.image != first:
                tensor = made.node("Transpose", [tensor], f"{name}_{ends.layout}", perm=FIRST if first else LAST)
            shape = tuple(shape[axis] for axis in FIRST) if first else shape
    made.renamed(tensor, name)
    return made.onnx.helper.make_tensor_value_info(name, kind, list(shape))


def _labels(site: Site, value: Value, output: str, size: tuple[int, int]) -> tuple[str, int, tuple[int, ...]]:
    """Class ids `[1, H, W]`, the first of equals: int32 of logits at that size, or bytes resized to it."""
    made, kinds = site.made, site.made.onnx.TensorProto
    value = made.image(value, output)
    tensor = value.tensor if value.grid is not None else made.floats(value)
    shape = (1, *size)
    if output == "labels":
        ids = made.node("ArgMax", [tensor], "argmax", axis=1, keepdims=0, select_last_index=0)
        return made.node("Cast", [ids], "labels", to=kinds.INT32), kinds.INT32, shape
    ids = made.node("ArgMax", [tensor], "argmax", axis=1, keepdims=1, select_last_index=0)
    bytes_ = Value((*value.shape[:3], 1), made.node("Cast", [ids], "labels", to=kinds.UINT8), True)
    whole = resized(made, bytes_, size, "nearest", "full_size")
    target = made.constant(shape, "labels_shape", np.int64)
    return made.node("Reshape", [made.floats(whole), target], "without_channels"), kinds.UINT8, shape
