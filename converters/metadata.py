"""What travels inside a `.tflite`: a signature, TFLite metadata, the oldest runtime, the manifest and the labels."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.artifact import with_members
from mobile_seg.converters.flat import operator_code, pack, unpack
from mobile_seg.converters.tflite_metadata import ENTRY, LABELS_MEMBER, metadata
from mobile_seg.converters.tflite_versions import MIN_RUNTIME, runtime_need
from mobile_seg.manifest import MEMBER, Manifest

SIGNATURE = "segment"

_NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}


def finish(content: bytes, manifest: Manifest) -> bytes:
    """Return the model's bytes with all of that; the same model and manifest give the same bytes.

    The signature is `image` → `segmentation`. Manifest and labels are appended as a ZIP archive, as TFLite's
    associated files are.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_named(manifest.input.name, graph.inputs[0])]
    signature.outputs = [_named(manifest.output.name, graph.outputs[0])]
    model.signatureDefs = [signature]
    _set_entry(model, MIN_RUNTIME, _need(model).encode().ljust(16, b"\0"))
    grid = graph.tensors[graph.inputs[0]].quantization
    quantized = grid is not None and grid.scale is not None and len(grid.scale) > 0
    _set_entry(model, ENTRY, metadata(manifest, quantized_input=quantized))
    members = {MEMBER: manifest.to_json(), LABELS_MEMBER: "".join(f"{name}\n" for name in manifest.classes)}
    return with_members(pack(model), members)


def min_runtime_version(content: bytes) -> str:
    """The oldest TFLite runtime, such as `2.3.0`, that has every operation of a `.tflite` file in its version.

    Operations that TFLite's table does not list count for nothing, as in TFLite's own converter; see
    `tflite_versions.runtime_need` to be told of them.
    """
    return _need(unpack(content))


def _need(model: Any) -> str:
    used = {
        (_NAMES[operator_code(model, operator)], int(model.operatorCodes[operator.opcodeIndex].version))
        for graph in model.subgraphs
        for operator in graph.operators or ()
    }
    return runtime_need(used).version


def _set_entry(model: Any, name: str, data: bytes) -> None:
    """Put a metadata buffer into the model, in place of one of that name."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.metadata = model.metadata or []
    for entry in model.metadata:
        if entry.name == name.encode():
            model.buffers[entry.buffer] = buffer
            return
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = tensor
    return entry
