"""What a TFLite graph consists of, and how much of it XNNPACK takes."""

import dataclasses
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.errors import ArtifactError
from mobile_seg.profiling.delegates.graph import Tensor
from mobile_seg.profiling.delegates.interpreter import delegated
from mobile_seg.profiling.delegates.reading import read_content
from mobile_seg.verify.tflite_runner import load_interpreter

FLOAT_TYPES = ("float16", "bfloat16", "float32", "float64")


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
    """A TFLite file's main graph as it stands there.

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
    partitions, inside = delegated(load_interpreter(content, name=name))
    graph = read_content(content, name=name)
    operations = graph.operations
    return GraphFacts(
        ops=tuple(Counter(one.kind for one in operations).most_common()),
        float_ops=sum(any(t.dtype in FLOAT_TYPES for t in (*one.given, *one.outputs)) for one in operations),
        quantize_ops=sum(one.kind in ("QUANTIZE", "DEQUANTIZE") for one in operations),
        partitions=partitions,
        delegated_ops=len(inside),
        left_ops=tuple(Counter(one.kind for one in operations if one.index not in inside).most_common()),
        size_bytes=len(content),
        macs=graph.macs,
        inputs=tuple(_tensor_facts(tensor) for tensor in graph.inputs),
        outputs=tuple(_tensor_facts(tensor) for tensor in graph.outputs),
    )


def _read(path_or_bytes: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    if isinstance(path_or_bytes, bytes):
        return "the model", path_or_bytes
    try:
        return str(path_or_bytes), Path(path_or_bytes).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path_or_bytes} cannot be read: {error.strerror}; check the path") from error


def _tensor_facts(tensor: Tensor) -> TensorFacts:
    per_tensor = len(tensor.scales) == 1
    return TensorFacts(
        name=tensor.name,
        shape=tensor.signature,
        dtype=tensor.dtype,
        scale=tensor.scales[0] if per_tensor else None,
        zero_point=(tensor.zero_points[0] if tensor.zero_points else 0) if per_tensor else None,
    )
