"""What a network's picture shows, before it is drawn: nodes in columns and rows, and the connections between them.

A row is a stride, finest on top; columns are the order of computing. Chains of like blocks are one node.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from mobile_seg.models.structure import Block, Output, Structure

SAME, DOWN, UP = "same", "down", "up"
IMAGE = "image"


@dataclass(frozen=True)
class Edge:
    """A connection from another node; `kind` tells what becomes of its size on the way."""

    source: str
    kind: str


@dataclass(frozen=True)
class Node:
    """A block, a chain of like blocks, the image or an output, in its place.

    `kind`: how it is drawn (`rate1`, `rate2`, `rate4`: a block by its largest dilation; `part`, `image`, `output`).
    """

    id: str
    name: str
    kind: str
    lines: tuple[str, ...]
    edges: tuple[Edge, ...]
    stride: int | None
    repeats: int = 1
    shared: bool = False
    note: str = ""
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class Row:
    """All that has one stride; `size` is (height, width), None where a network has no tensor of it."""

    stride: int | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Grid:
    """Nodes in their columns and rows."""

    nodes: tuple[Node, ...]
    rows: tuple[Row, ...]
    columns: int


def grid(structure: Structure) -> Grid:
    """Arrange a network."""
    nodes = _nodes(structure)
    strides = sorted({node.stride for node in nodes if node.stride})
    every: list[int | None] = [*_doubling(strides), *([None] if any(node.stride is None for node in nodes) else [])]
    sizes = {block.stride: block.size for block in structure.blocks}
    placed = _in_columns([replace(node, row=every.index(node.stride)) for node in nodes])
    return Grid(
        tuple(placed),
        tuple(Row(stride, sizes.get(stride)) for stride in every),
        1 + max(node.column for node in placed),
    )


def _doubling(strides: Sequence[int]) -> list[int]:
    rows = list(strides[:1])
    while rows and rows[-1] < strides[-1]:
        rows.append(2 * rows[-1])
    return rows


def _nodes(structure: Structure) -> list[Node]:
    blocks = structure.blocks
    # What only scales the image's numbers is not drawn.
    image = blocks[0].id if not blocks[0].params and not blocks[0].outputs and len(blocks) > 1 else IMAGE
    chains = _chains([block for block in blocks if block.id != image])
    at = {block.id: chain[0].id for chain in chains for block in chain} | {image: IMAGE}
    nodes = [_image(structure, chains[0][0])]
    for _, found in groupby(chains, key=lambda chain: chain[0].name):
        alike = list(found)  # the copies of a shared head stand in one column, their outputs behind all of them
        nodes += [_node(chain, at) for chain in alike]
        nodes += [_output(chain[0].id, output) for chain in alike for block in chain for output in block.outputs]
    return nodes


def _chains(blocks: Sequence[Block]) -> list[list[Block]]:
    """Runs of like blocks of a series, each reading nothing but the one before, which nobody else reads."""
    readers = Counter(connection.source for block in blocks for connection in block.inputs)
    chains: list[list[Block]] = []
    for block in blocks:
        before = chains[-1][-1] if chains else None
        if before and _alike(before, block) and readers[before.id] == 1 and not before.outputs:
            chains[-1].append(block)
        else:
            chains.append([block])
    return chains


def _alike(before: Block, block: Block) -> bool:
    def look(one: Block) -> tuple[object, ...]:
        return _series(one.name), one.stride, one.channels, one.dilations, one.shares

    return (
        block.body and [connection.source for connection in block.inputs] == [before.id] and look(before) == look(block)
    )


def _node(chain: list[Block], at: dict[str, str]) -> Node:
    first, last = chain[0], chain[-1]
    rates = sorted({rate for block in chain for rate in block.dilations})
    most = max(rates, default=1)
    name = first.name if first is last else f"{first.name}-{last.name[len(_series(last.name)) :]}"
    kind = ("rate1" if most == 1 else "rate2" if most < 4 else "rate4") if first.body else "part"
    lines = [f"{last.channels}", *([f"rate {' '.join(map(str, rates))}"] if rates else [])]
    params, macs = (sum(getattr(block, key) for block in chain) for key in ("params", "macs"))
    edges = (Edge(at[one.source], _kind(one.stride, first.stride)) for one in first.inputs)
    return Node(
        id=first.id,
        name=name,
        kind=kind,
        lines=tuple(lines),
        edges=tuple(dict.fromkeys(edges)) or (Edge(IMAGE, SAME),),
        stride=last.stride,
        repeats=sum(block.repeats for block in chain),
        shared=bool(first.shares),
        note=f"{name}: {params:,} parameters, {macs:,} multiply-adds",
    )


def _series(name: str) -> str:
    return name.rstrip("0123456789")


def _kind(source: int | None, target: int | None) -> str:
    if source == target:
        return SAME
    return DOWN if target is None or (source is not None and source < target) else UP


def _image(structure: Structure, reader: Block) -> Node:
    height, width = structure.input_size
    return Node(IMAGE, "image", "image", (f"{height}x{width}",), (), reader.stride)


def _output(source: str, output: Output) -> Node:
    shape = "x".join(map(str, output.shape))
    return Node(f"{source}:{output.name}", "output", "output", (shape,), (Edge(source, SAME),), output.stride)


def _in_columns(nodes: list[Node]) -> list[Node]:
    """A column each, as the papers draw blocks; parts and outputs of one input share one, if they differ in row."""
    placed: dict[str, Node] = {}
    last: list[Node] = []
    for node in nodes:
        least = max((placed[edge.source].column for edge in node.edges), default=-1)
        column = last[0].column if last else 0
        alone = [*last, node]
        if (
            last
            and least < column
            and all(len(other.edges) == 1 and other.kind in ("part", "output") for other in alone)
            and node.row not in {other.row for other in last}
        ):
            last.append(replace(node, column=column))
        else:
            last = [replace(node, column=column + 1 if last else 0)]
        placed[node.id] = last[-1]
    return list(placed.values())
