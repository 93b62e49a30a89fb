"""What to export, as one record that is valid once built."""

from dataclasses import dataclass

from mobile_seg.errors import UsageError, choose
from mobile_seg.manifest import LAYOUTS, OUTPUT_KINDS

TARGETS = ("tflite", "coreml", "onnx")
SUFFIXES = {"tflite": ".tflite", "coreml": ".mlpackage", "onnx": ".onnx"}

PRECISIONS = ("float32", "float16", "int8", "int16x8", "w8", "palette8", "palette6", "palette4")
INTEGER_PRECISIONS = ("int8", "int16x8")
"""Those whose activations are integers."""

PALETTES = ("palette8", "palette6", "palette4")
"""Weights as indices of so many bits into a table per layer; activations stay floats."""

IO_TYPES = ("uint8", "int8", "float")

DELEGATES = ("xnnpack", "gpu", "nnapi", "edgetpu", "ethos-u")
"""What runs a .tflite, and has rewrites for its sake."""

EIGHT_BITS_ONLY = ("edgetpu", "ethos-u")

ONLY_ON = {
    **dict.fromkeys(PALETTES, (("coreml",), "no other runtime reads weights as indices into a table; ask for w8")),
    "int16x8": (("tflite",), "neither Core ML nor ONNX Runtime has 16-bit kernels for it; ask for int8 or float16"),
    "float16": (("tflite", "coreml"), "ONNX Runtime's mobile kernels compute in float32; ask for float32 or w8"),
}
"""Precision → the targets that have it, and why no other has."""


@dataclass(frozen=True)
class ExportOptions:
    """One artifact's form.

    `precision`: float32; float16 (weights stored in half precision; Core ML computes in it too); int8 and int16x8
    (integers from input to output, activations of 8 or 16 bits); w8 (int8 weights, float activations); palette8,
    palette6 and palette4 (Core ML: weights as indices into a table per layer).

    `output`: `logits` at the output stride, `logits-full` at input size; class ids at input size as `labels` (the
    logits are resized first) or `labels-nearest` (the ids are: cheaper, with stairs at the borders).

    `io`: `uint8` takes the camera's bytes (Core ML: an image); `int8` the same bytes minus 128, for accelerators that
    know nothing else; `float` takes floats: bytes 0..255 for float activations, normalized values for integer ones
    (whose graph then begins and ends with a conversion).

    `layout`: of the image and the logits, `nhwc` or, on ONNX, `nchw`.

    `delegate`: what will run a .tflite, by the names of `mobile-seg check`: operations that it refuses are written
    otherwise where no number changes. None: the graph as it is converted.

    Raises:
        UsageError: for an unknown name, or a combination that no runtime has, with the reason and what to ask for.
    """

    target: str = "tflite"
    precision: str = "int8"
    output: str = "logits"
    io: str = "uint8"
    layout: str = "nhwc"
    delegate: str | None = None

    def __post_init__(self) -> None:
        choose("target", self.target, TARGETS)
        choose("precision", self.precision, PRECISIONS)
        choose("output", self.output, OUTPUT_KINDS)
        choose("io", self.io, IO_TYPES)
        choose("layout", self.layout, LAYOUTS)
        if self.delegate is not None:
            choose("target", self.delegate, DELEGATES)
        for refused in (_no_such_precision, _no_such_output, _no_such_io, _no_such_layout, _no_such_delegate):
            if reason := refused(self):
                raise UsageError(reason)

    @property
    def integer_activations(self) -> bool:
        """Whether the artifact computes in integers."""
        return self.precision in INTEGER_PRECISIONS

    @property
    def integer_io(self) -> bool:
        """Whether the artifact's tensors are integers at both ends."""
        return self.integer_activations and self.io != "float"

    @property
    def gives_labels(self) -> bool:
        """Whether the artifact ends in an argmax."""
        return self.output.startswith("labels")


def _no_such_precision(options: ExportOptions) -> str | None:
    targets, reason = ONLY_ON.get(options.precision, (TARGETS, ""))
    return None if options.target in targets else f"{options.target} has no {options.precision}: {reason}."


def _no_such_output(options: ExportOptions) -> str | None:
    if not options.gives_labels:
        return None
    if options.precision == "int16x8":
        return "TFLite has no 16-bit argmax; ask for output=logits, or for precision=int8."
    if options.target == "tflite" and options.io == "float" and options.precision == "int8":
        return "int8 labels with float input and output has no use; ask for io=uint8 or output=logits."
    return None


def _no_such_io(options: ExportOptions) -> str | None:
    if options.target == "coreml" and options.io != "uint8":
        return f"Core ML takes an image, which Vision and AVFoundation hand over: io=uint8, not io={options.io}."
    if options.io == "int8" and (options.target, options.precision) != ("tflite", "int8"):
        return f"{options.target} {options.precision} takes the camera's bytes as they are: io=uint8, or io=float."
    return None


def _no_such_layout(options: ExportOptions) -> str | None:
    if options.layout != "nhwc" and options.target != "onnx":
        return f"layout={options.layout} is for ONNX; {options.target} lays out images by itself: leave it out."
    return None


def _no_such_delegate(options: ExportOptions) -> str | None:
    if options.delegate is None:
        return None
    if options.target != "tflite":
        return f"target={options.delegate} runs .tflite files; {options.target} is none: leave the target out."
    if options.delegate in EIGHT_BITS_ONLY and options.precision != "int8":
        return f"{options.delegate} computes in 8-bit integers, not {options.precision}: ask for precision=int8."
    return None
