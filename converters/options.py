"""What to export, as one record that is valid once built."""

from dataclasses import dataclass

from mobile_seg.errors import UsageError, choose
from mobile_seg.manifest import OUTPUT_KINDS

PRECISIONS = ("float32", "float16", "int8", "int16x8", "w8")
INTEGER_PRECISIONS = ("int8", "int16x8")
"""Those whose activations are integers."""

IO_TYPES = ("uint8", "float")


@dataclass(frozen=True)
class ExportOptions:
    """One artifact's form.

    `precision`: float32; float16 (weights stored in half precision); int8 and int16x8 (integers from input
    to output, activations of 8 or 16 bits); w8 (int8 weights, float activations). `output`: `logits` at the
    output stride, `logits-full` at input size, `labels` (argmax in the graph). `io`: `uint8` takes the
    camera's bytes; `float` takes floats: bytes 0..255 for float activations, normalized values for integer
    ones (whose graph then begins and ends with a conversion).
    """

    precision: str = "int8"
    output: str = "logits"
    io: str = "uint8"

    def __post_init__(self) -> None:
        choose("precision", self.precision, PRECISIONS)
        choose("output", self.output, OUTPUT_KINDS)
        choose("io", self.io, IO_TYPES)
        if self.output == "labels" and self.precision == "int16x8":
            raise UsageError("TFLite has no 16-bit argmax; ask for output=logits, or for precision=int8.")
        if self.output == "labels" and self.io == "float" and self.precision == "int8":
            raise UsageError("int8 labels with float input and output has no use; ask for io=uint8 or output=logits.")

    @property
    def integer_activations(self) -> bool:
        """Whether the artifact computes in integers."""
        return self.precision in INTEGER_PRECISIONS

    @property
    def integer_io(self) -> bool:
        """Whether the artifact's tensors are integers at both ends."""
        return self.integer_activations and self.io == "uint8"
