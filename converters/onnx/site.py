"""What the rule of a layer may ask while the ONNX graph grows."""

from dataclasses import dataclass, field
from typing import Any

from mobile_seg.converters.onnx.graph import Builder, Grid, Value
from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView


@dataclass
class Site:
    """The Keras graph, and the ONNX graph so far.

    `shapes`: of the layers' outputs, for one sample. `merged`: linear layer → the batch normalization that is folded
    into it. `known`: layer → its value; of the input's first readers where its form settles them.
    """

    graph: GraphView
    made: Builder
    shapes: dict[str, tuple[int, ...]]
    merged: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Value] = field(default_factory=dict)

    def shape(self, layer: Any) -> tuple[int, ...]:
        """The shape of a layer's output in this graph, for one sample."""
        return self.shapes[layer.name]

    def follower(self, name: str) -> Any | None:
        """The one layer that reads this one's output, or None."""
        reader = self.graph.only_consumer(name)
        return None if reader is None else self.graph.layers[reader]

    def clamps_anyway(self, name: str, low: float, high: float) -> bool:
        """Whether the quantizer that alone reads a layer's output has a range that ends where the clamp does."""
        follower = self.follower(name)
        return follower is not None and is_quantizer(follower) and grid_of(follower).holds(low, high)


def is_quantizer(layer: Any) -> bool:
    """Whether this is a layer that rounds a tensor to a grid."""
    return all(hasattr(layer, name) for name in ("bits", "get_range", "zero_point", "step"))


def grid_of(quantizer: Any) -> Grid:
    """A quantizer's grid.

    Raises:
        UnsupportedLayerError: if it does not have 8 bits.
    """
    if quantizer.bits != 8:
        raise UnsupportedLayerError(
            f"{quantizer.name} has {quantizer.bits} bits, for which ONNX Runtime has no kernels; quantize for ONNX "
            "without int16x8 layers (keep={'name': 'float'} raises one to floats instead)"
        )
    return Grid(float(quantizer.step), int(quantizer.zero_point))


def demand_channels_last(layer: Any) -> None:
    """Check a layer's data format.

    Raises:
        UnsupportedLayerError: if it has channels first.
    """
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise unsupported(layer, "has channels first", "build it with data_format='channels_last'")


def unsupported(layer: Any, what: str, way_out: str) -> UnsupportedLayerError:
    """The error of a layer that cannot be written, with what to do instead."""
    return UnsupportedLayerError(f"layer {layer.name} ({type(layer).__name__}) {what}; {way_out}")
