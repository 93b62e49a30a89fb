"""What breaks a delegate and could be written otherwise: the list that an export for a target would work through."""

from collections.abc import Iterable
from dataclasses import dataclass

from mobile_seg.profiling.delegates.check import DelegateCheck, Finding

EXACT = "bit for bit"
ROUNDED = "within one quantization step"
OUTSIDE = "bit for bit, with the rest done by the caller"


@dataclass(frozen=True)
class Rewrite:
    """One way to write an operation otherwise.

    `delegates` are those it helps, `operations` what it replaces and `becomes` what stands there then. `keeps` says
    how far the numbers stay the same; nothing that changes them more is in the list.
    """

    name: str
    delegates: tuple[str, ...]
    operations: tuple[str, ...]
    becomes: str
    keeps: str
    how: str


REWRITES = (
    Rewrite(
        name="arg-max in 32 bits",
        delegates=("gpu", "nnapi", "qnn"),
        operations=("ARG_MAX",),
        becomes="ARG_MAX into int32",
        keeps=EXACT,
        how="the option output_type and the output's type; classes fit into 7 bits",
    ),
    Rewrite(
        name="nearest by copies",
        delegates=("xnnpack",),
        operations=("RESIZE_NEAREST_NEIGHBOR",),
        becomes="CONCATENATION of four copies along the channels, DEPTH_TO_SPACE by 2; again for 4 and 8 times",
        keeps=EXACT,
        how="for whole factors of 2 with half-pixel centres; moves four times the bytes",
    ),
    Rewrite(
        name="one pixel tiled",
        delegates=("edgetpu",),
        operations=("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        becomes="TILE",
        keeps=EXACT,
        how="where the input is 1x1: every pixel put out is that one",
    ),
    Rewrite(
        name="one pixel resized",
        delegates=("xnnpack",),
        operations=("TILE",),
        becomes="RESIZE_BILINEAR",
        keeps=EXACT,
        how="where the input is 1x1, the other way round",
    ),
    Rewrite(
        name="whole image as a mean",
        delegates=("xnnpack", "nnapi"),
        operations=("AVERAGE_POOL_2D",),
        becomes="MEAN over height and width",
        keeps=ROUNDED,
        how="where the window is the whole image",
    ),
    Rewrite(
        name="mean as pooling",
        delegates=("nnapi",),
        operations=("MEAN",),
        becomes="AVERAGE_POOL_2D over the whole image, VALID, on the input's grid",
        keeps=ROUNDED,
        how="of at most 256 pixels; the grid is quantization's choice, so the model is quantized again",
    ),
    Rewrite(
        name="padding inside",
        delegates=("xnnpack", "nnapi", "coreml", "edgetpu"),
        operations=("PAD",),
        becomes="the convolution behind it with SAME padding",
        keeps=EXACT,
        how="where SAME pads as much; the zero must be the grid's zero point",
    ),
    Rewrite(
        name="signed bytes in",
        delegates=("xnnpack", "nnapi"),
        operations=("QUANTIZE",),
        becomes="an int8 input",
        keeps=OUTSIDE,
        how="export with --io int8; the caller takes 128 off each byte",
    ),
    Rewrite(
        name="integers out",
        delegates=("edgetpu", "ethos-u"),
        operations=("DEQUANTIZE",),
        becomes="an int8 output with its scale in the manifest",
        keeps=OUTSIDE,
        how="export with --io int8",
    ),
    Rewrite(
        name="small logits",
        delegates=("edgetpu", "ethos-u"),
        operations=("RESIZE_BILINEAR", "ARG_MAX"),
        becomes="the output before the last resize",
        keeps=OUTSIDE,
        how="export with --output logits; the app enlarges and takes the largest",
    ),
)


def offered(checked: DelegateCheck) -> tuple[tuple[Rewrite, Finding], ...]:
    """Return the rewrites that may mend what a delegate refused, each with its finding.

    Whether one applies is for the exporter to see: `how` names the condition.
    """
    name = checked.delegate.partition(":")[0]
    return tuple(
        (rewrite, found)
        for found in checked.findings
        if found.refusal
        for rewrite in REWRITES
        if name in rewrite.delegates and _of(found.operations, rewrite.operations)
    )


def _of(found: Iterable[tuple[str, int]], kinds: tuple[str, ...]) -> bool:
    return any(kind in kinds for kind, _ in found)
