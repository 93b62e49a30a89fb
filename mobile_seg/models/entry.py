"""What is known of a network before it is built: its name, the row of its family, and what its paper states.

Nothing here loads Keras, so that the command line can list names at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobile_seg.errors import UsageError

SEMANTIC_HEADS = ("deeplabv3", "deeplabv3plus", "lraspp", "pyramid_fusion")
"""The heads that give one map of logits, which is what training and the apps read."""


@dataclass(frozen=True)
class Published:
    """Counts from a paper and the setting in which they hold; None where it states none.

    `options` goes to `build`. `*_within` is how far ours lie from them at most, as a share of theirs; above
    1%, `reason` says why.
    """

    source: str
    input_size: tuple[int, int]
    classes: int
    head: str = "deeplabv3"
    params: float | None = None
    macs: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    params_within: float = 0.01
    macs_within: float = 0.01
    reason: str = ""

    def __post_init__(self) -> None:
        if max(self.params_within, self.macs_within) > 0.01 and not self.reason:
            raise ValueError(f"{self.source}: a deviation above 1% needs its reason")


@dataclass(frozen=True)
class Entry:
    """A network by name.

    `family` names its backbone in `families.FAMILIES`, `row` gives that family's record its fields. `heads` and
    `output_strides` are what it may be built with, the first of each by default. `style` and `head_options` are
    its own defaults, the latter per head. Height and width of the input are multiples of `input_multiple`, or,
    where `plus_one`, one more, as DeepLab's crops are. `mobile`: small enough for a phone.
    """

    name: str
    family: str
    paper: str
    row: Mapping[str, Any]
    heads: tuple[str, ...]
    input_multiple: int
    plus_one: bool = False
    output_strides: tuple[int, ...] = (8, 4, 16)
    style: Mapping[str, Any] = field(default_factory=dict)
    head_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: tuple[Published, ...] = ()
    mobile: bool = False

    def check_input_size(self, size: tuple[int, int]) -> None:
        """Refuse a size that the network cannot take.

        Raises:
            UsageError: naming the nearest size that works.
        """
        check_input_size(size, multiple=self.input_multiple, plus_one=self.plus_one)


def check_input_size(size: tuple[int, int], *, multiple: int, plus_one: bool = False) -> None:
    """Refuse a size that is not a positive multiple of `multiple` (or, with `plus_one`, one more) on both sides.

    Raises:
        UsageError: naming the nearest sizes that work.
    """
    rests = (0, 1) if plus_one else (0,)
    wrong = [side for side in size if side < multiple or side % multiple not in rests]
    if wrong:
        fixed = "x".join(str(max(multiple, round(side / multiple) * multiple)) for side in size)
        more = ", or one more" if plus_one else ""
        raise UsageError(
            f"input size {size[0]}x{size[1]} does not divide: height and width must be multiples of {multiple}{more}; "
            f"the nearest that works is {fixed}."
        )
