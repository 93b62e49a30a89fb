"""What travels inside a `.tflite`: a named signature, the manifest and the labels."""

from ai_edge_litert import schema_py_generated as schema

from mobile_seg.artifact import with_members
from mobile_seg.converters.flat import pack, unpack
from mobile_seg.manifest import MEMBER, Manifest

SIGNATURE = "segment"
LABELS_MEMBER = "labels.txt"


def finish(content: bytes, manifest: Manifest) -> bytes:
    """Return the model's bytes with a signature `image` → `segmentation`, and manifest and labels appended."""
    model = unpack(content)
    graph = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.subgraphIndex = 0
    signature.inputs = [_named(manifest.input.name, graph.inputs[0])]
    signature.outputs = [_named(manifest.output.name, graph.outputs[0])]
    model.signatureDefs = [signature]
    members = {MEMBER: manifest.to_json(), LABELS_MEMBER: "".join(f"{name}\n" for name in manifest.classes)}
    return with_members(pack(model), members)


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = tensor
    return entry
