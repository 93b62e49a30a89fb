"""What a TFLite graph consists of, and how much of it XNNPACK takes."""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.errors import ArtifactError, MissingExtraError
from mobile_seg.verify.tflite_runner import load_interpreter

FLOAT_TYPES = ("FLOAT16", "BFLOAT16", "FLOAT32", "FLOAT64")


@dataclass(frozen=True)
class TensorFacts:
    """One input or output; -1 in `shape` is a size that is free. `scale` is None if it is not quantized per tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class GraphFacts:
    """A TFLite graph as it stands in the file, all subgraphs together.

    `ops` are (operator name, count), most frequent first; a custom operator goes by its own name.
    `float_ops` counts the operators with any floating-point input or output tensor, 0 for a graph that
    is int8 throughout. `quantize_ops` counts QUANTIZE and DEQUANTIZE. `partitions` is the number of
    DELEGATE nodes that XNNPACK makes of the main subgraph in this runtime, `delegated_ops` the number
    of operators inside them, `left_ops` those that it leaves, as (operator name, count). `size_bytes` is
    the file's, metadata included. `macs` are the multiply-adds of convolutions and fully connected layers
    for one run, as the papers count.
    """

    ops: tuple[tuple[str, int], ...]
    float_ops: int
    quantize_ops: int
    partitions: int
    delegated_ops: int
    left_ops: tuple[tuple[str, int], ...]
    size_bytes: int
    macs: int
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `ops` and `left_ops` become mappings."""
        return dataclasses.asdict(self) | {"ops": dict(self.ops), "left_ops": dict(self.left_ops)}


def inspect_tflite(path_or_bytes: str | os.PathLike[str] | bytes) -> GraphFacts:
    """Read a TFLite file, with or without a manifest, and let this machine's runtime partition it.

    Raises:
        ArtifactError: if it cannot be read, or this runtime cannot run it and hence not partition it.
        MissingExtraError: if LiteRT is not installed.
    """
    name, content = _read(path_or_bytes)
    # First: the runtime verifies the flatbuffer, which the generated reader below does not.
    partitions, delegated, left = _partitions(load_interpreter(content, name=name))
    model = _schema().ModelT.InitFromPackedBuf(content, 0)
    operators = list(_operators(model))
    main = model.subgraphs[0]
    return GraphFacts(
        ops=tuple(Counter(op for op, _ in operators).most_common()),
        float_ops=sum(any(dtype in FLOAT_TYPES for dtype in dtypes) for _, dtypes in operators),
        quantize_ops=sum(op in ("QUANTIZE", "DEQUANTIZE") for op, _ in operators),
        partitions=partitions,
        delegated_ops=delegated,
        left_ops=left,
        size_bytes=len(content),
        macs=sum(_macs(model, graph, operator) for graph in model.subgraphs for operator in graph.operators or ()),
        inputs=tuple(_tensor_facts(main.tensors[index]) for index in main.inputs),
        outputs=tuple(_tensor_facts(main.tensors[index]) for index in main.outputs),
    )


def _read(path_or_bytes: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    if isinstance(path_or_bytes, bytes):
        return "the model", path_or_bytes
    try:
        return str(path_or_bytes), Path(path_or_bytes).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path_or_bytes} cannot be read: {error.strerror}; check the path") from error


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingExtraError(
            "reading a .tflite graph needs the schema in LiteRT; install it with: pip install ai-edge-litert"
        ) from error
    return schema_py_generated


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _operators(model: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield each operator's name and the dtypes of its inputs and outputs."""
    schema = _schema()
    builtins, dtypes = _names(schema.BuiltinOperator), _names(schema.TensorType)
    names = []
    for code in model.operatorCodes:
        # Old files keep the number in an 8-bit field; the reader must take the larger of the two.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = number == schema.BuiltinOperator.CUSTOM
        names.append(code.customCode.decode() if custom and code.customCode else builtins[number])
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            used = [index for group in (operator.inputs, operator.outputs) if group is not None for index in group]
            yield names[operator.opcodeIndex], {dtypes[graph.tensors[index].type] for index in used if index >= 0}


def _macs(model: Any, graph: Any, operator: Any) -> int:
    """Numbers put out times weights behind each (of a transposed convolution: numbers taken in)."""
    builtin = _schema().BuiltinOperator
    code = model.operatorCodes[operator.opcodeIndex]
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)

    def size(tensor: int) -> int:
        return math.prod(int(side) for side in _listed(graph.tensors[tensor].shape))

    if kind == builtin.TRANSPOSE_CONV:  # inputs: shape, weights [O, h, w, I], data
        return size(operator.inputs[2]) * size(operator.inputs[1]) // int(graph.tensors[operator.inputs[1]].shape[3])
    if kind in (builtin.CONV_2D, builtin.FULLY_CONNECTED):  # weights [O, h, w, I] or [O, I]
        return size(operator.outputs[0]) * size(operator.inputs[1]) // int(graph.tensors[operator.inputs[1]].shape[0])
    if kind == builtin.DEPTHWISE_CONV_2D:  # weights [1, h, w, O]
        return size(operator.outputs[0]) * size(operator.inputs[1]) // int(graph.tensors[operator.inputs[1]].shape[3])
    return 0


def _tensor_facts(tensor: Any) -> TensorFacts:
    quantization = tensor.quantization
    scales = _listed(quantization and quantization.scale)
    zeros = _listed(quantization and quantization.zeroPoint)
    per_tensor = len(scales) == 1
    # The signature keeps -1 where a size is free; it is left out where nothing is.
    shape = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return TensorFacts(
        name=tensor.name.decode() if tensor.name else "",
        shape=() if shape is None else tuple(int(size) for size in shape),
        dtype=_names(_schema().TensorType)[tensor.type].lower(),
        scale=float(scales[0]) if per_tensor else None,
        zero_point=(int(zeros[0]) if zeros else 0) if per_tensor else None,
    )


def _listed(values: Any) -> list[Any]:
    return [] if values is None else list(values)


def _partitions(interpreter: Any) -> tuple[int, int, tuple[tuple[str, int], ...]]:
    """Count DELEGATE nodes, the operators they replace, and the others by name.

    The runtime keeps replaced operators in its list. Those inside a node are the ones that its outputs
    depend on, walking back until its inputs.
    """
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    producers = {
        int(tensor): node["index"] for node in nodes if node["op_name"] != "DELEGATE" for tensor in node["outputs"]
    }
    inputs_of = {node["index"]: [int(tensor) for tensor in node["inputs"]] for node in nodes}
    replaced: set[int] = set()
    for node in delegates:
        known = set(inputs_of[node["index"]])
        pending = [int(tensor) for tensor in node["outputs"]]
        while pending:
            tensor = pending.pop()
            if tensor in known:
                continue
            known.add(tensor)
            if tensor in producers:
                replaced.add(producers[tensor])
                pending.extend(inputs_of[producers[tensor]])
    left = Counter(node["op_name"] for node in nodes if node["op_name"] != "DELEGATE" and node["index"] not in replaced)
    return len(delegates), len(replaced), tuple(left.most_common())
