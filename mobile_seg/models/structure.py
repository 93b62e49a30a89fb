"""A network as its paper's figure shows it: blocks with their stride, width and dilation, and who reads whom.

Read off the built model alone: a layer is named `block_role`, so its block is what stands before the first
underscore; `b07r2` is block `b07` once more. No network has code here.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras

from mobile_seg.calls import Call, walk
from mobile_seg.models.cost import layer_macs

_REPEAT = re.compile(r"(.*\d)r(\d+)")


@dataclass(frozen=True)
class Connection:
    """A block reads another's tensor `[N, height, width, C]` at `stride`; None for one without pixels."""

    source: str
    stride: int | None


@dataclass(frozen=True)
class Output:
    """A tensor that the model returns: the layer's name, its shape without the batch, its stride."""

    name: str
    shape: tuple[int, ...]
    stride: int | None


@dataclass(frozen=True)
class Block:
    """Layers of one name that hang together.

    `id` is `name`, or `name.2`, … where the name stands for several parts of the graph, such as a head that works
    on each level of a pyramid; `shares` is the first of them whose weights this one uses again, or "". `repeats` is
    how often the block stands in series. `stride`, `channels`: of its last tensor; stride None where that has no
    pixels. `body`: whether it belongs to the first numbered series (`b07`, `conv3`), the backbone's. `dilations`: the
    rates above 1 of its convolutions. `params` are its own, `macs` all it computes.
    """

    id: str
    name: str
    body: bool
    repeats: int
    stride: int | None
    size: tuple[int, int] | None
    channels: int
    dilations: tuple[int, ...]
    inputs: tuple[Connection, ...]
    outputs: tuple[Output, ...]
    params: int
    macs: int
    shares: str = ""


@dataclass(frozen=True)
class Structure:
    """A network's blocks, each behind all that it reads. `input_size` is (height, width)."""

    name: str
    input_size: tuple[int, int]
    blocks: tuple[Block, ...]

    @property
    def params(self) -> int:
        """Trained numbers of the whole network."""
        return sum(block.params for block in self.blocks)

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole network on one image."""
        return sum(block.macs for block in self.blocks)


def structure(model: keras.Model) -> Structure:
    """Return the blocks of a functional model on one image input of known size.

    Raises:
        UnsupportedLayerError: if a layer's multiply-adds are not known.
    """
    height, width = model.inputs[0].shape[1:3]
    reading = _Reading(walk(model), height)
    return Structure(model.name, (height, width), tuple(reading.blocks()))


def block_of(layer: str) -> tuple[str, int]:
    """The block that a layer's name tells, and which of its repeats: `b07r2_mix_conv` → `b07`, 2."""
    name = layer.split("_", 1)[0]
    repeat = _REPEAT.fullmatch(name)
    return (repeat[1], int(repeat[2])) if repeat else (name, 1)


def stride_of(shape: tuple[int, ...], height: int) -> int | None:
    """The power of two by which `[N, h, w, C]` is smaller than the image; None without pixels or with a single one.

    A 641 pixel image has 161 at stride 4: the ratio is rounded.
    """
    if len(shape) != 4 or shape[1] == shape[2] == 1:
        return None
    return int(2 ** round(math.log2(height / shape[1])))


class _Reading:
    """One model's calls, while they become blocks."""

    def __init__(self, every: tuple[Call, ...], height: int) -> None:
        self.every, self.height = every, height
        self.groups = _Groups(every)
        self.ids: dict[int, str] = {}
        """A group's root → its block's id; the image has none."""
        self.first: dict[int, str] = {}
        """A layer's id() → the block that calls it first."""

    def blocks(self) -> Iterator[Block]:
        """Each block behind those it reads."""
        numbered = (_letters(name) for name, _ in map(self._name, self.groups.in_order()) if name[-1].isdigit())
        body, seen = next(numbered, ""), Counter[str]()
        for members in self.groups.in_order():
            name, repeats = self._name(members)
            seen[name] += 1
            block = self._block(members, f"{name}.{seen[name]}" if seen[name] > 1 else name)
            yield replace(block, name=name, body=bool(body) and _letters(name) == body, repeats=repeats)

    def _name(self, members: list[int]) -> tuple[str, int]:
        """A block's name and how many repeats it holds; one that starts with a later repeat is called by that."""
        repeats = sorted({block_of(self.every[index].layer.name) for index in members}, key=lambda one: one[1])
        name, number = repeats[0]
        return (name if number == 1 else f"{name}r{number}"), len(repeats)

    def _block(self, members: list[int], own: str) -> Block:
        inside = [self.every[index] for index in members]
        read = [(self.groups.of(index), self.every[index].shape) for call in inside for index in call.inputs]
        inputs = [Connection(self.ids[of], self._stride(shape)) for of, shape in read if of in self.ids]
        self.ids[self.groups.of(members[0])] = own
        users = [self.first.setdefault(id(call.layer), own) for call in inside]
        layers = {id(call.layer): call.layer for call, user in zip(inside, users, strict=True) if user == own}
        last = inside[-1].shape
        stride = self._stride(last)
        return Block(
            id=own,
            name=own,
            body=False,
            repeats=1,
            stride=stride,
            size=(last[1], last[2]) if stride else None,
            channels=last[-1],
            dilations=tuple(sorted({rate for call in inside for rate in _rates(call.layer)})),
            inputs=tuple(dict.fromkeys(inputs)),
            outputs=tuple(
                Output(call.layer.name, tuple(call.shape[1:]), self._stride(call.shape))
                for call in inside
                if call.returned
            ),
            params=sum(math.prod(weight.shape) for layer in layers.values() for weight in layer.trainable_weights),
            macs=sum(layer_macs(call.layer, call.shape) for call in inside),
            shares=next((user for user in users if user != own), ""),
        )

    def _stride(self, shape: tuple[int, ...]) -> int | None:
        return stride_of(shape, self.height)


def _letters(name: str) -> str:
    return re.split(r"\d", name, maxsplit=1)[0]


def _rates(layer: Any) -> Iterator[int]:
    rates: tuple[int, ...] = getattr(layer, "dilation_rate", ()) or getattr(layer, "rates", ())
    yield from (rate for rate in rates if rate > 1)


class _Groups:
    """Calls joined to blocks: neighbours of one name, as long as no block would come to read its own output.

    Repeats are one block where their results have one shape: a later one that halves the size stands apart.
    """

    def __init__(self, every: tuple[Call, ...]) -> None:
        self.every = every
        self._parent = list(range(len(every)))
        self._sources: dict[int, set[int]] = {}
        names = self._names()
        for index, call in enumerate(every):
            self._sources[index] = {self.of(source) for source in call.inputs}
            for source in call.inputs:
                own, other = self.of(index), self.of(source)
                if own == other or names[index] != names[source]:
                    continue
                if not self._detour(own, other) and not self._detour(other, own):
                    self._join(own, other)

    def _names(self) -> list[tuple[object, ...]]:
        """What neighbours must have in common, of every call."""
        blocks = [block_of(call.layer.name) for call in self.every]
        repeated = {name for name, number in blocks if number > 1}
        results: dict[tuple[str, int], tuple[int, ...]] = {}
        for (name, number), call in zip(blocks, self.every, strict=True):
            if (name, number + 1) not in results:  # what a later repeat reads is the result, not a pooling after all
                results[name, number] = call.shape
        return [(block[0], results[block] if block[0] in repeated else None) for block in blocks]

    def of(self, index: int) -> int:
        """The root of a call's block."""
        while self._parent[index] != index:
            index = self._parent[index]
        return index

    def in_order(self) -> list[list[int]]:
        """The blocks as lists of calls, each behind those it reads, the image left out.

        Of those that could stand next: series as they first appear, each by its numbers, finer before coarser.
        """
        members: dict[int, list[int]] = defaultdict(list)
        for index, call in enumerate(self.every):
            if call.inputs:
                members[self.of(index)].append(index)
        series: dict[str, int] = {}
        keys = {root: self._key(found, series) for root, found in members.items()}
        waiting = {root: self._roots(root) & members.keys() for root in members}
        order = []
        while waiting:
            chosen = min((root for root, reads in waiting.items() if not reads), key=keys.__getitem__)
            order.append(members[chosen])
            del waiting[chosen]
            for reads in waiting.values():
                reads.discard(chosen)
        return order

    def _key(self, found: list[int], series: dict[str, int]) -> tuple[int, ...]:
        name, _ = block_of(self.every[found[0]].layer.name)
        letters = name.rstrip("0123456789")
        height = self.every[found[-1]].shape[1]
        return series.setdefault(letters, len(series)), int(name[len(letters) :] or 0), -height, found[0]

    def _roots(self, root: int) -> set[int]:
        return {self.of(source) for source in self._sources[root]} - {root}

    def _detour(self, reader: int, source: int) -> bool:
        """Whether `reader` also depends on `source` by way of another block."""
        waiting = [other for other in self._roots(reader) if other != source]
        seen = set()
        while waiting:
            root = waiting.pop()
            if root == source:
                return True
            if root not in seen:
                seen.add(root)
                waiting += self._roots(root)
        return False

    def _join(self, reader: int, source: int) -> None:
        self._parent[reader] = source
        self._sources[source] |= self._sources.pop(reader)
