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
    builder = _AlignedBuilder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    members = {MEMBER: manifest.to_json(), LABELS_MEMBER: "".join(f"{name}\n" for name in manifest.classes)}
    return with_members(bytes(builder.Output()), members)


class _AlignedBuilder(flatbuffers.Builder):
    """Puts every vector at a multiple of 16 bytes, which TFLite's schema demands of weights (`force_align`).

    The Python library does not read that attribute, so TensorFlow's own converter, which repacks with it, loses
    the alignment too.
    """

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:
        """Begin a vector; see flatbuffers."""
        return super().StartVector(elemSize, numElems, max(alignment, 16))


def _named(name: str, tensor: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name = name
    entry.tensorIndex = tensor
    return entry
