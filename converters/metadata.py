"""What travels inside a `.tflite`: a named signature, the manifest and the labels."""

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from mobile_seg.artifact import with_members
from mobile_seg.manifest import MEMBER, Manifest

SIGNATURE = "segment"
LABELS_MEMBER = "labels.txt"


def finish(content: bytes, manifest: Manifest) -> bytes:
    """Return the model's bytes with a signature `image` → `segmentation`, and manifest and labels appended."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_named(manifest.input.name, graph.inputs[0])]
    signature.outputs = [_named(manifest.output.name, graph.outputs[0])]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    members = {MEMBER: manifest.to_json(), LABELS_MEMBER: "".join(f"{name}\n" for name in manifest.classes)}
    return with_members(bytes(builder.Output()), members)


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = tensor
    return entry
