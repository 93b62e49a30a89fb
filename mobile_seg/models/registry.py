"""Every network by name: the one list that the command line, the docs and the tests go through."""

from dataclasses import dataclass
from typing import Any

from mobile_seg.errors import UsageError, choose


@dataclass(frozen=True)
class Entry:
    """A named network and what its paper published; `paper_*` is None where nothing was published.

    Height and width of the input must be multiples of `input_multiple`, the deepest blocks' stride.
    `paper_input_size` and `paper_classes` are the setting in which the published counts hold.
    """

    name: str
    family: str
    task: str
    scale: float
    paper: str
    paper_input_size: tuple[int, int]
    paper_classes: int
    paper_rates: tuple[int, ...]
    input_multiple: int
    paper_params: float | None = None
    paper_macs: float | None = None


ENTRIES = (
    Entry(
        name="mobile_spinenet_s49",
        family="mobile_spinenet_seg",
        task="semantic",
        scale=1.0,
        paper="arXiv:2103.12270, Table 9",
        paper_input_size=(1024, 2048),
        paper_classes=19,
        paper_rates=(12, 24, 36, 72),
        input_multiple=16,
        paper_params=4.40e6,
    ),
    Entry(
        name="mobile_spinenet_s49_minus",
        family="mobile_spinenet_seg",
        task="semantic",
        scale=0.65,
        paper="arXiv:2103.12270, Table 9",
        paper_input_size=(1024, 2048),
        paper_classes=19,
        paper_rates=(12, 24, 36, 72),
        input_multiple=16,
        paper_params=3.15e6,
    ),
)

OUTPUT_STRIDES = (4, 8, 16)
ACTIVATIONS = ("relu6", "relu")


def names() -> tuple[str, ...]:
    """The names that `build` accepts."""
    return tuple(entry.name for entry in ENTRIES)


def find(name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        UsageError: for an unknown name, listing the known ones.
    """
    choose("model", name, names())
    return next(entry for entry in ENTRIES if entry.name == name)


def build(
    name: str,
    *,
    input_size: tuple[int, int],
    classes: int,
    output_stride: int = 8,
    aspp_rates: tuple[int, ...] = (12, 24, 36),
    aspp_width: int = 256,
    head_convs: int = 0,
    image_pooling: bool = True,
    separable_head: bool = True,
    separable_aspp: bool = True,
    endpoint_width: int = 0,
    classifier_kernel: int = 3,
    activation: str = "relu6",
    bn_momentum: float = 0.99,
) -> Any:
    """Build an untrained network: images `[N, H, W, 3]` (RGB, 0..255) → logits `[N, H/os, W/os, classes]`.

    From `aspp_rates` to `classifier_kernel` are the head's options (SpineNet-Seg sec. 4; see
    `heads.DeepLabV3Head`, and docs/decisions/0004 for why they are open). `input_size` is (height, width).
    `bn_momentum` suits runs of thousands of steps; below a few hundred, 0.9 lets the moving statistics
    catch up.

    Raises:
        UsageError: for an unknown name, stride or activation, or a size the network cannot take.
    """
    entry = find(name)
    from mobile_seg.models.blocks import Style
    from mobile_seg.models.heads import DeepLabV3Head
    from mobile_seg.models.spinenet_seg import MobileSpineNetSeg, build_mobile_spinenet_seg

    check_input_size(input_size, multiple=entry.input_multiple)
    if output_stride not in OUTPUT_STRIDES:
        raise UsageError(f"output_stride={output_stride} is not offered; choose from {OUTPUT_STRIDES}.")
    if classes < 2:
        raise UsageError(f"classes={classes}: segmentation needs at least 2 classes.")
    choose("activation", activation, ACTIVATIONS)
    head = DeepLabV3Head(
        width=aspp_width,
        rates=tuple(aspp_rates),
        convs=head_convs,
        separable=separable_head,
        separable_aspp=separable_aspp,
        endpoint=endpoint_width,
        image_pooling=image_pooling,
        classifier_kernel=classifier_kernel,
    )
    return build_mobile_spinenet_seg(
        MobileSpineNetSeg(entry.scale),
        name=name,
        input_size=(input_size[0], input_size[1]),
        classes=classes,
        output_stride=output_stride,
        head=head,
        style=Style(activation=activation, bn_momentum=bn_momentum),
    )


def check_input_size(size: tuple[int, int], *, multiple: int) -> None:
    """Refuse a size that is not a positive multiple of `multiple` on both sides.

    Raises:
        UsageError: naming the nearest sizes that work.
    """
    wrong = [side for side in size if side <= 0 or side % multiple]
    if wrong:
        fixed = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in size)
        raise UsageError(
            f"input size {size[0]}x{size[1]} does not divide: height and width must be multiples of {multiple}; "
            f"the nearest that works is {fixed}."
        )
