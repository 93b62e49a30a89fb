"""Constants, added up by the operation that reads them first."""

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from mobile_seg.inspection.records import Layer


class Constant(NamedTuple):
    """Values that a file holds; the name is for those that nothing reads."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


class Weights:
    """Takes the constants of a graph and then its operations, in order; values go by whatever names them."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Constant]] = {}
        self._layers: list[Layer] = []

    def constant(self, value: Hashable, constant: Constant) -> None:
        """A value that the file holds."""
        if constant.size_bytes:
            self._waiting.setdefault(value, []).append(constant)

    def operation(
        self,
        layer: str,
        kind: str,
        *,
        inputs: Iterable[Hashable],
        outputs: Iterable[Hashable] = (),
        unpacks: bool = False,
    ) -> None:
        """An operation named `layer`. One that only unpacks constants leaves them to the operation that reads them."""
        read = [constant for value in inputs for constant in self._waiting.pop(value, ())]
        if not read:
            return
        target = next(iter(outputs), None)
        if unpacks and target is not None:
            self._waiting.setdefault(target, []).extend(read)
        else:
            self._layers.append(_layer(layer, kind, read))

    def layers(self) -> tuple[Layer, ...]:
        """Largest first, those of equal size in the order read; constants that nothing reads come under their name."""
        unread = [_layer(constants[0].name, "(not read)", constants) for constants in self._waiting.values()]
        return tuple(sorted((*self._layers, *unread), key=lambda layer: -layer.size_bytes))


def stored_as(layers: Iterable[Layer]) -> str:
    """The dtype that most bytes of the weights have; `no` where there are none."""
    counted: Counter[str] = Counter()
    for layer in layers:
        counted[layer.dtype] += layer.size_bytes
    return next((dtype for dtype, _ in counted.most_common(1)), "no")


def _layer(name: str, kind: str, constants: list[Constant]) -> Layer:
    largest = max(constants, key=lambda constant: constant.size_bytes)
    return Layer(name, kind, largest.dtype, largest.shape, sum(constant.size_bytes for constant in constants))
