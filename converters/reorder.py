"""Work on few pixels what TensorFlow's graph works on many."""

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.converters.flat import operator_code, shape

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
