"""How few layers to raise to more bits, until a model is accurate enough."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mobile_seg.errors import MobileSegError
from mobile_seg.quantization.sensitivity import Damage

Accuracy = Callable[[dict[str, str]], float]
"""`accuracy(keep)`: the mIoU, 0..1, of the model quantized with that `keep`."""


@dataclass(frozen=True)
class Try:
    """How many layers were raised, and the accuracy that gave."""

    raised: int
    accuracy: float


@dataclass(frozen=True)
class Found:
    """What to keep, the accuracy it gives, and all that was tried, in order."""

    keep: dict[str, str]
    accuracy: float
    tried: tuple[Try, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


def fewest_raised(ranking: Sequence[Damage], accuracy: Accuracy, *, floor: float) -> Found:
    """Find the fewest layers, taken from the top of the ranking, that must be raised to reach `floor`.

    Each is raised to what its `Damage` says helps it; a layer that nothing helps is passed over. First
    none, then 1, 2, 4, … until the floor is reached, then halving the gap. That takes accuracy to rise with
    the number of layers; where it does not quite, the answer still reaches the floor but may not be the fewest.

    Raises:
        MobileSegError: if all of them raised do not reach it, saying how much is missing.
    """
    candidates = [damage for damage in ranking if damage.raised is not None]
    tried: dict[int, Found] = {}

    def reaches(count: int) -> bool:
        keep = {damage.layer: str(damage.raised) for damage in candidates[:count]}
        tried[count] = Found(keep, accuracy(keep), ())
        return tried[count].accuracy >= floor

    short, enough = -1, 0
    while not reaches(enough):
        if enough == len(candidates):
            raise MobileSegError(
                f"with all {len(candidates)} layers raised the accuracy is {tried[enough].accuracy:.4f}, "
                f"{floor - tried[enough].accuracy:.4f} below the floor of {floor:.4f}; allow a larger drop, train "
                "quantization-aware, or choose the scheme int16x8"
            )
        short, enough = enough, min(max(1, 2 * enough), len(candidates))
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if reaches(middle) else (middle, enough)
    trail = tuple(Try(count, found.accuracy) for count, found in tried.items())
    return dataclasses.replace(tried[enough], tried=trail)
