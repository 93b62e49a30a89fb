"""Work on few pixels what TensorFlow's graph works on many."""

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import constant, operator_code, shape
from mobile_seg.converters.targets.edit import FLOAT32, Edit

_OP = schema.BuiltinOperator


def enlarge_last(model: Any) -> bool:
    """Move each nearest enlargement behind the 1x1 convolution that alone reads it, in place; whether one was moved.

    Every pixel that it puts out is one that it was given, and the convolution treats all pixels alike. So the numbers
    stay the same, and of the multiply-adds behind an enlargement by 4 a 16th is left.
    """
    graph, moved = model.subgraphs[0], False
    for resize in [one for one in graph.operators if operator_code(model, one) == _OP.RESIZE_NEAREST_NEIGHBOR]:
        source, inner = int(resize.inputs[0]), int(resize.outputs[0])
        readers = [one for one in graph.operators if inner in one.inputs]
        if len(readers) != 1 or not _per_pixel(model, readers[0], inner):
            continue
        (convolution,), target = readers, int(readers[0].outputs[0])
        few, many = (shape(graph.tensors[one])[1:3] for one in (source, target))
        if few[0] * few[1] >= many[0] * many[1] or {inner, target}.intersection(map(int, graph.outputs)):
            continue
        enlarged, computed = graph.tensors[target], copy.copy(graph.tensors[target])
        computed.shape = np.asarray((1, *few, shape(enlarged)[3]), np.int32)
        enlarged.name, graph.tensors[inner] = graph.tensors[inner].name, computed
        convolution.inputs = np.asarray([source, *convolution.inputs[1:]], np.int32)
        resize.inputs = np.asarray([inner, *resize.inputs[1:]], np.int32)
        convolution.outputs, resize.outputs = np.int32([inner]), np.int32([target])
        graph.operators.remove(resize)
        graph.operators.insert(graph.operators.index(convolution) + 1, resize)
        moved = True
    return moved


def _per_pixel(model: Any, operator: Any, data: int) -> bool:
    """Whether an operator is a convolution of single pixels that reads `data` as its image."""
    if operator_code(model, operator) != _OP.CONV_2D or int(operator.inputs[0]) != data:
        return False
    weights, options = shape(model.subgraphs[0].tensors[operator.inputs[1]]), operator.builtinOptions
    return weights[1:3] == (1, 1) and (options.strideH, options.strideW) == (1, 1)


_RESIZES = (_OP.RESIZE_BILINEAR, _OP.RESIZE_NEAREST_NEIGHBOR)


def spread_last(content: bytes) -> bytes:
    """Take out of 1x1 convolutions what is the same at every pixel, and add it behind them.

    A convolution that reads a concatenation of feature maps with one pixel spread over all of them, as the image
    pooling of an ASPP is, becomes one of the maps alone, one of the pixel and an ADD: of a five-fold ASPP's largest
    convolution a fifth is left out. For float32 only: sums are added in another order, and in integers it would round
    twice.
    """
    edit, done = Edit(content), False
    for convolution in list(edit.graph.operators):
        found = _spread(edit, convolution)
        if found is not None:
            _write_apart(edit, convolution, *found)
            done = True
    return edit.packed() if done else content


def _spread(edit: Edit, convolution: Any) -> tuple[Any, Any] | None:
    """The concatenation that a convolution reads, and the resize in it that spreads a pixel over the image."""
    if not _per_pixel(edit.model, convolution, int(convolution.inputs[0])) or len(convolution.inputs) != 3:
        return None
    weights, bias = (constant(edit.model, edit.graph.tensors[one]) for one in convolution.inputs[1:])
    joined = _only_maker(edit, int(convolution.inputs[0]))
    if weights is None or bias is None or weights.dtype != np.float32 or joined is None:
        return None
    if edit.kind(joined) != _OP.CONCATENATION or joined.builtinOptions.axis not in (3, -1):
        return None
    spread = [_only_maker(edit, int(one)) for one in joined.inputs]
    pixels = [one for one in spread if one and edit.kind(one) in _RESIZES and edit.shape(one.inputs[0])[1:3] == (1, 1)]
    return (joined, pixels[0]) if pixels and len(joined.inputs) > 1 else None


def _only_maker(edit: Edit, tensor: int) -> Any:
    """The operator that computes a tensor, if only one reads it and it is not given out."""
    readers = [one for one in edit.graph.operators if tensor in one.inputs]
    if len(readers) != 1 or list(readers[0].inputs).count(tensor) != 1 or tensor in edit.graph.outputs:
        return None
    return next((one for one in edit.graph.operators if tensor in one.outputs), None)


def _write_apart(edit: Edit, convolution: Any, joined: Any, resize: Any) -> None:
    """Write the two convolutions and their sum where the one stood."""
    target, options = int(convolution.outputs[0]), convolution.builtinOptions
    kernel, bias = (constant(edit.model, edit.graph.tensors[one]) for one in convolution.inputs[1:])
    assert kernel is not None
    assert bias is not None
    place = [int(one) for one in joined.inputs].index(int(resize.outputs[0]))
    ends = np.cumsum([0, *(edit.shape(one)[3] for one in joined.inputs)])
    own = np.arange(ends[place], ends[place + 1])
    maps = [int(one) for number, one in enumerate(joined.inputs) if number != place]
    first = maps[0]
    if len(maps) > 1:
        first = edit.like(int(joined.outputs[0]), (*edit.shape(maps[0])[:3], kernel.shape[3] - len(own)))
        edit.write(_OP.CONCATENATION, maps, first, joined.builtinOptions)
    plain = copy.copy(options)
    plain.fusedActivationFunction = schema.ActivationFunctionType.NONE
    sums = []
    for source, weights, added in (
        (first, np.delete(kernel, own, axis=3), bias),
        (int(resize.inputs[0]), kernel[..., own], np.zeros(len(kernel))),
    ):
        constants = [edit.constant(int(convolution.inputs[1]), one, FLOAT32) for one in (weights, added)]
        made = edit.like(target, (*edit.shape(source)[:3], len(kernel)))
        sums.append(edit.write(_OP.CONV_2D, [source, *constants], made, plain))
    adding = schema.AddOptionsT()
    adding.fusedActivationFunction = options.fusedActivationFunction
    edit.write(_OP.ADD, sums, target, adding)
    edit.replace(edit.graph.operators.index(convolution))
    edit.graph.operators.remove(joined)
    edit.graph.operators.remove(resize)
