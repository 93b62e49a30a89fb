"""A model as the calls it makes: what is counted and drawn, where a layer may be called several times."""

from dataclasses import dataclass
from typing import Any

import keras

from mobile_seg.graph import functional, node_of, nodes


@dataclass(frozen=True)
class Call:
    """One call of one layer. `inputs`: the calls it reads, by their places in `walk`. `shape`: of what it gives."""

    layer: Any
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    returned: bool


def walk(model: keras.Model) -> tuple[Call, ...]:
    """Every call of a functional or Sequential model, each behind those it reads; a layer once per call."""
    graph = functional(model)
    every = nodes(graph)
    places = {id(node): place for place, node in enumerate(every)}
    returned = {id(node_of(tensor)) for tensor in graph.outputs}

    def read(node: Any) -> tuple[int, ...]:
        return tuple(places[id(node_of(tensor))] for tensor in node.input_tensors)

    return tuple(
        Call(node.operation, read(node), tuple(node.output_tensors[0].shape), id(node) in returned) for node in every
    )
