"""The one rewrite: a float functional model → the same model with quantizers where the rules put them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from mobile_seg.errors import UsageError, choose
from mobile_seg.graph import GraphView, call, rebuild, view
from mobile_seg.layers import SpaceToDepth
from mobile_seg.quantization import limits
from mobile_seg.quantization.arithmetic import TWINS as ELEMENTWISE
from mobile_seg.quantization.fake_quant import RANGES, FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.linear_layers import TWINS
from mobile_seg.quantization.lower import lower
from mobile_seg.quantization.rules import (
    FIXED_RANGES,
    LINEAR_LAYERS,
    Placement,
    fixed_activation,
    is_averaging,
    is_input,
    is_joined_branch,
    is_pass_through,
    is_rescaled_input,
    placement,
    range_owner,
)
from mobile_seg.quantization.scheme import INT8, Scheme

KEPT = ("float", "int16x8")
"""What a layer can be raised to: float weights and arithmetic, or a 16-bit output."""

_COMPUTE = "float32"
"""Fake quantization needs float32: float16 has too few bits to hit the grid. Variables are float32 anyway."""


def insert_quantizers(
    model: keras.Model,
    *,
    scheme: Scheme = INT8,
    keep: Mapping[str, str] | None = None,
    ranges: str = "average",
    decay: float = 0.99,
) -> keras.Model:
    """Return a quantization-aware copy of a trained float model; the model given is untouched.

    Batch normalization is folded into its convolution with the moving statistics as they stand. The new
    activation ranges are not set: run `calibrate` before training or exporting.

    Args:
        keep: layer name → `float` (weights and arithmetic stay float; for layers that have weights) or
            `int16x8` (its output has 16 bits). A name stands for all that is fused with that layer.
        ranges: `average` or `learned`; see `FakeQuant`.

    Raises:
        UsageError: if the model is quantized already, or `keep` names what is not there.
        UnsupportedLayerError: for a layer that cannot run in integers, by name, with the way out.
    """
    if is_quantized(model):
        raise UsageError(f"{model.name} is quantized already; start from the float model it was made from.")
    choose("ranges", ranges, RANGES)
    graph = view(lowered := lower(model, integers=scheme.activation_bits is not None))
    limits.check(graph)
    plan = _Plan(graph, scheme, _kept_units(graph, dict(keep or {})), ranges, decay)
    return rebuild(lowered, plan.emit, name=f"{model.name}_{scheme.name.replace('-', '_')}_qat", emit_input=plan.behind)


def is_quantized(model: keras.Model) -> bool:
    """Whether the model was made by `insert_quantizers`."""
    return any(isinstance(layer, (FakeQuant, QuantLinear)) for layer in model.layers)


def units(graph: GraphView) -> dict[str, tuple[str, ...]]:
    """What is quantized as one: the layer whose output gets the quantizer → it and all that is fused before it.

    A branch of a concatenation is one as well, though its range is that of the joined tensor.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in graph.order:
        place = placement(graph, name)
        if place is not Placement.QUANTIZE and not (place is Placement.NONE and is_joined_branch(graph, name)):
            continue
        members = [name]
        while not is_input(graph, members[0]) and len(sources := graph.inputs[members[0]]) == 1:
            (source,) = sources
            fused = graph.only_consumer(source) == members[0] and placement(graph, source) is Placement.NONE
            if not fused or type(graph.layers[source]) not in (*LINEAR_LAYERS, *_FUSED_KINDS):
                break
            members.insert(0, source)
        found[name] = tuple(members)
    return found


_FUSED_KINDS = (keras.layers.BatchNormalization, keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply)


def _kept_units(graph: GraphView, keep: dict[str, str]) -> dict[str, str]:
    """`keep`, from any member of a unit to every member."""
    kept: dict[str, str] = {}
    members = {member: unit for unit in units(graph).values() for member in unit}
    for name, raised in keep.items():
        choose(f"keep[{name!r}]", raised, KEPT)
        if name not in members:
            raise UsageError(f"keep names {name}, which is no layer with a range of its own; see --analyze for a list.")
        if raised == "float" and not any(type(graph.layers[member]) in LINEAR_LAYERS for member in members[name]):
            raise UsageError(f"keep leaves {name} in float, which has no weights; raise it to int16x8.")
        if raised == "int16x8" and is_joined_branch(graph, members[name][-1]):
            raise UsageError(f"keep gives {name} 16 bits, which shares a concatenation's range; raise that one.")
        if raised == "int16x8" and (only := _with_8_bits_only(graph, members[name][-1])):
            raise UsageError(f"keep gives {name} 16 bits, but {only} has a kernel of 8 bits only; leave it out.")
        kept.update(dict.fromkeys(members[name], raised))
    return kept


def _with_8_bits_only(graph: GraphView, name: str) -> str | None:
    """A layer without a 16-bit kernel that makes this tensor or reads it, copies apart: kernels are as wide as that."""
    if type(graph.layers[name]) is SpaceToDepth:
        return name
    for reader in graph.consumers[name]:
        if is_pass_through(graph.layers[reader]) and (found := _with_8_bits_only(graph, reader)):
            return found
    return None


@dataclass(frozen=True)
class _Plan:
    graph: GraphView
    scheme: Scheme
    kept: dict[str, str]
    ranges: str
    decay: float

    def emit(self, layer: Any, *inputs: Any) -> Any:
        """A layer's quantization-aware form, with the quantizer behind it if it gets one."""
        return self.behind(layer, self._float_part(layer, inputs))

    def behind(self, layer: Any, output: Any) -> Any:
        """A layer's output through its quantizer, if it gets one."""
        place = placement(self.graph, layer.name)
        if self.scheme.activation_bits is None or place is Placement.NONE or self._float_output(layer.name):
            return output
        return self._quantizer(layer, place)(output)

    def _float_output(self, name: str) -> bool:
        """A layer kept in float that ends the model hands out floats."""
        return self.kept.get(name) == "float" and name in self.graph.outputs

    def _quantizer(self, layer: Any, place: Placement | None) -> FakeQuant:
        owner = range_owner(self.graph, layer.name) if place is Placement.FOLLOW else layer.name
        bits = self._bits(owner)
        return FakeQuant(
            bits=bits,
            decay=self.decay,
            ranges=self.ranges,
            fixed_range=_fixed_range(layer, bits) if place is Placement.FIXED else None,
            follows=f"{owner}_quant" if place is Placement.FOLLOW else None,
            ties="away" if type(layer) is keras.layers.AveragePooling2D else "up",
            name=f"{layer.name}_quant",
            dtype=_COMPUTE,
        )

    def _bits(self, name: str) -> int:
        if is_rescaled_input(self.graph, name):
            return 8  # the camera's bytes, exactly
        return 16 if self.kept.get(name) == "int16x8" else int(self.scheme.activation_bits or 8)

    def _float_part(self, layer: Any, inputs: tuple[Any, ...]) -> Any:
        if type(layer) in LINEAR_LAYERS:
            follower = self.graph.only_consumer(layer.name)
            candidate = self.graph.layers[follower] if follower else None
            batch_norm = candidate if type(candidate) is keras.layers.BatchNormalization else None
            weights = "float32" if self.kept.get(layer.name) == "float" else self.scheme.weights
            quantized = _quantized_layer(layer, batch_norm, weights)
            output = quantized(*inputs)
            quantized.take_weights(layer, batch_norm)
            return output
        if type(layer) is keras.layers.BatchNormalization:
            return inputs[0]
        copies = is_pass_through(layer) and not is_averaging(layer)
        kind: Any = type(layer) if copies else ELEMENTWISE.get(type(layer), type(layer))
        config = {**layer.get_config(), "dtype": _COMPUTE}
        if self.scheme.activation_bits is not None and is_rescaled_input(self.graph, layer.name):
            config["offset"] = float(_whole_byte_offset(layer))
        copy = kind.from_config(config)
        output = call(copy, *inputs)
        if weights := layer.get_weights():
            copy.set_weights(weights)
        return output


def _quantized_layer(layer: Any, batch_norm: Any, weights: str) -> Any:
    folding = {} if batch_norm is None else {"epsilon": batch_norm.epsilon, "momentum": batch_norm.momentum}
    own = {"weights": weights, "batch_norm": batch_norm is not None, **folding}
    return TWINS[type(layer)].from_config({**layer.get_config(), **own, "dtype": _COMPUTE})


def _fixed_range(layer: Any, bits: int) -> tuple[float, float]:
    activation = fixed_activation(layer)
    if activation is None:
        scale, offset = float(np.squeeze(layer.scale)), _whole_byte_offset(layer)
        return min(offset, 0.0), max(255.0 * scale + offset, 0.0)
    return (-32767 / 32768, 32767 / 32768) if bits == 16 else FIXED_RANGES[activation]


def _whole_byte_offset(layer: Any) -> float:
    """The offset of the input's Rescaling, zero moved to a whole byte.

    Between two bytes, as with a mean of 127.5, every byte would be half-way between two integers.
    """
    scale, offset = float(np.squeeze(layer.scale)), float(np.squeeze(layer.offset))
    zero = -offset / scale
    return -np.floor(zero + 0.5) * scale if 0.0 <= zero <= 255.0 else offset
