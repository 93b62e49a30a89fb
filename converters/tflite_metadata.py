"""TFLite metadata: what Android Studio, MediaPipe and others read of a `.tflite` file, written and parsed.

The schema is `metadata_schema.fbs` of TFLite Support as MediaPipe carries it on, version 1.5.0, and MediaPipe's
`image_segmenter_metadata_schema.fbs`.
"""

from typing import Any

from mobile_seg.flat_tables import Schema, read, write
from mobile_seg.manifest import MEMBER, InputSpec, Manifest

ENTRY = "TFLITE_METADATA"
"""Name of the model's metadata entry that holds it."""

IDENTIFIER = b"M001"
LABELS_MEMBER = "labels.txt"

SEGMENTER, SEGMENTER_IDENTIFIER = "SEGMENTER_METADATA", b"V001"
"""Custom metadata that tells MediaPipe's ImageSegmenter which activation makes probabilities of the output."""

MISREAD = "MediaPipe ImageSegmenter reads logits only and misreads class ids: export output=logits for it."

_FILE_TYPES = {
    **{0: "UNKNOWN", 1: "DESCRIPTIONS", 2: "TENSOR_AXIS_LABELS", 3: "TENSOR_VALUE_LABELS"},
    **{4: "TENSOR_AXIS_SCORE_CALIBRATION", 5: "VOCABULARY", 6: "SCANN_INDEX_FILE"},
}
_UNITS = (
    "NormalizationOptions",
    "ScoreCalibrationOptions",
    "ScoreThresholdingOptions",
    "BertTokenizerOptions",
    "SentencePieceTokenizerOptions",
    "RegexTokenizerOptions",
)

SCHEMA: Schema = {
    "ModelMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("version", "string"),
        ("subgraph_metadata", "[SubGraphMetadata]"),
        ("author", "string"),
        ("license", "string"),
        ("associated_files", "[AssociatedFile]"),
        ("min_parser_version", "string"),
    ),
    "SubGraphMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("input_tensor_metadata", "[TensorMetadata]"),
        ("output_tensor_metadata", "[TensorMetadata]"),
        ("associated_files", "[AssociatedFile]"),
        ("input_process_units", "[ProcessUnit]"),
        ("output_process_units", "[ProcessUnit]"),
        ("input_tensor_groups", "[TensorGroup]"),
        ("output_tensor_groups", "[TensorGroup]"),
        ("custom_metadata", "[CustomMetadata]"),
    ),
    "TensorMetadata": (
        ("name", "string"),
        ("description", "string"),
        ("dimension_names", "[string]"),
        ("content", "Content"),
        ("process_units", "[ProcessUnit]"),
        ("stats", "Stats"),
        ("associated_files", "[AssociatedFile]"),
    ),
    "AssociatedFile": (
        ("name", "string"),
        ("description", "string"),
        ("type", _FILE_TYPES),
        ("locale", "string"),
        ("version", "string"),
    ),
    "Content": (
        ("content_properties_type", "uint8"),
        ("content_properties", ("FeatureProperties", "ImageProperties", "BoundingBoxProperties", "AudioProperties")),
        ("range", "ValueRange"),
    ),
    "FeatureProperties": (),
    "ImageProperties": (("color_space", {0: "UNKNOWN", 1: "RGB", 2: "GRAYSCALE"}), ("default_size", "ImageSize")),
    "ImageSize": (("width", "uint32"), ("height", "uint32")),
    "BoundingBoxProperties": (
        ("index", "[uint32]"),
        ("type", {0: "UNKNOWN", 1: "BOUNDARIES", 2: "UPPER_LEFT", 3: "CENTER"}),
        ("coordinate_type", {0: "RATIO", 1: "PIXEL"}),
    ),
    "AudioProperties": (("sample_rate", "uint32"), ("channels", "uint32")),
    "ValueRange": (("min", "int32"), ("max", "int32")),
    "ProcessUnit": (("options_type", "uint8"), ("options", _UNITS)),
    "NormalizationOptions": (("mean", "[float32]"), ("std", "[float32]")),
    "ScoreCalibrationOptions": (
        ("score_transformation", {0: "IDENTITY", 1: "LOG", 2: "INVERSE_LOGISTIC"}),
        ("default_score", "float32"),
    ),
    "ScoreThresholdingOptions": (("global_score_threshold", "float32"),),
    "BertTokenizerOptions": (("vocab_file", "[AssociatedFile]"),),
    "SentencePieceTokenizerOptions": (
        ("sentencePiece_model", "[AssociatedFile]"),
        ("vocab_file", "[AssociatedFile]"),
    ),
    "RegexTokenizerOptions": (("delim_regex_pattern", "string"), ("vocab_file", "[AssociatedFile]")),
    "Stats": (("max", "[float32]"), ("min", "[float32]")),
    "TensorGroup": (("name", "string"), ("tensor_names", "[string]")),
    "CustomMetadata": (("name", "string"), ("data", "[bytes]")),
    "ImageSegmenterOptions": (
        ("activation", {0: "NONE", 1: "SIGMOID", 2: "SOFTMAX"}),
        ("min_parser_version", "string"),
    ),
}


def metadata(manifest: Manifest, *, quantized_input: bool) -> bytes:
    """The `TFLITE_METADATA` buffer of a file with this manifest.

    `quantized_input` says whether the input tensor has a scale: the schema's normalization comes before it.
    """
    return write(SCHEMA, "ModelMetadata", _model(manifest, quantized_input), identifier=IDENTIFIER)


def parse(content: bytes) -> dict[str, Any]:
    """A `TFLITE_METADATA` buffer as nested dicts of the fields present; MediaPipe's segmenter options are unpacked.

    Raises:
        BrokenTables: if it is damaged.
    """
    value = read(SCHEMA, "ModelMetadata", content, identifier=IDENTIFIER)
    for graph in value.get("subgraph_metadata", ()):
        for custom in graph.get("custom_metadata", ()):
            data = bytes(custom.get("data", b""))
            if custom.get("name") == SEGMENTER and data[4:8] == SEGMENTER_IDENTIFIER:
                custom["data"] = read(SCHEMA, "ImageSegmenterOptions", data, identifier=SEGMENTER_IDENTIFIER)
    return value


def _model(manifest: Manifest, quantized_input: bool) -> dict[str, Any]:
    labels, version = manifest.output.gives_labels, dict(manifest.versions).get(manifest.producer)
    about = f"Semantic segmentation into {len(manifest.classes)} classes: {manifest.model}, {manifest.precision}."
    graph: dict[str, Any] = {
        "name": manifest.model,
        "input_tensor_metadata": [_input(manifest.input, quantized_input)],
        "output_tensor_metadata": [_output(manifest)],
    }
    if not labels:
        options = {"activation": "SOFTMAX", "min_parser_version": "1.0.0"}
        data = write(SCHEMA, "ImageSegmenterOptions", options, identifier=SEGMENTER_IDENTIFIER)
        graph["custom_metadata"] = [{"name": SEGMENTER, "data": data}]
    manifest_file = {"name": MEMBER, "description": "The manifest: all an app must know.", "type": "DESCRIPTIONS"}
    return {
        "name": manifest.model,
        "description": f"{about} {MISREAD}" if labels else about,
        **({"version": version} if version else {}),
        "author": manifest.producer,
        "subgraph_metadata": [graph],
        "associated_files": [manifest_file],
        # As TFLite's own populator has it: the schema that brought the newest field in here.
        "min_parser_version": "1.0.0" if labels else "1.5.0",
    }


def _input(spec: InputSpec, quantized: bool) -> dict[str, Any]:
    """A byte b is fed as `(b - mean) / std`, then on the tensor's grid if it has one."""
    normalized = quantized or spec.normalized_outside
    mean, std = (spec.mean, spec.std) if normalized else (0.0, 1.0)
    bounds = {"uint8": (0.0, 255.0), "int8": (-128.0, 127.0)}
    low, high = bounds.get(spec.dtype, ((0.0 - mean) / std, (255.0 - mean) / std))
    size = {"width": spec.width, "height": spec.height}
    return {
        "name": spec.name,
        "description": f"RGB image of {spec.height} x {spec.width} (height x width), stretched to that size.",
        "dimension_names": ["batch", "height", "width", "channel"],
        "content": {"content_properties": ("ImageProperties", {"color_space": "RGB", "default_size": size})},
        "process_units": [{"options": ("NormalizationOptions", {"mean": [mean], "std": [std]})}],
        "stats": {"max": [high], "min": [low]},
    }


def _output(manifest: Manifest) -> dict[str, Any]:
    spec, labels = manifest.output, manifest.output.gives_labels
    what = f"Class ids. {MISREAD}" if labels else "Logits; the class of a pixel is the largest."
    stats = {"stats": {"max": [float(len(manifest.classes) - 1)], "min": [0.0]}} if labels else {}
    return {
        "name": spec.name,
        "description": what,
        "dimension_names": ["batch", "height", "width", *([] if labels else ["class"])],
        "content": {
            "content_properties": ("ImageProperties", {"color_space": "GRAYSCALE"}),
            "range": {"min": 1, "max": 2},
        },
        **stats,
        "associated_files": [
            {
                "name": LABELS_MEMBER,
                "description": "Class names, one per line.",
                "type": "TENSOR_VALUE_LABELS" if labels else "TENSOR_AXIS_LABELS",
            }
        ],
    }
