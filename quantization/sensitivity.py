"""Which layers quantization hurts: each quantized alone, all others in float, judged by the model's output."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, view
from mobile_seg.layers import SpaceToDepth
from mobile_seg.quantization.arithmetic import TWINS
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rules import is_pass_through
from mobile_seg.quantization.settle import unsettle

ELEMENTWISE = tuple(TWINS.values())

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`."""


@dataclass(frozen=True)
class Damage:
    """What one layer's quantization alone does to the model's output.

    `layer` is a name that `insert_quantizers(keep=...)` takes. `sqnr_db` is the signal's energy over the
    error's, over all logits (`inf`: no error); `weights_sqnr_db` and `activations_sqnr_db` are the same with
    only its weights or only its output quantized, `inf` where there is nothing to quantize. `disagreement`
    is the share of positions whose largest logit is another one, `largest` the largest error of a logit.
    `raised` is what would help, `float` if the weights hurt most, else `int16x8`, or None if neither can.
    """

    layer: str
    sqnr_db: float
    disagreement: float
    largest: float
    weights_sqnr_db: float
    activations_sqnr_db: float
    raised: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which knows no infinity: null stands for no error at all."""
        plain = dataclasses.asdict(self)
        return {key: None if value == math.inf else value for key, value in plain.items()}


def rank(model: keras.Model, batches: Iterable[np.ndarray], *, progress: Progress | None = None) -> tuple[Damage, ...]:
    """Measure what each layer of a calibrated quantization-aware model does alone; worst first.

    The reference is the same model with nothing quantized, so rounded biases count for no layer.
    Per batch it is run once in full; for a layer only what comes after it is run again.

    Args:
        batches: arrays `[N, H, W, C]` as the model takes them. All of a batch's activations are held at once.

    Raises:
        UsageError: without an image or a layer to rank, or for logits that are not finite or all zero.
    """
    graph = view(model)
    units = _units(graph)
    if not units:
        raise UsageError(f"{model.name} has no quantized layer to rank; pass it through insert_quantizers first.")
    shown = list(batches)
    if not shown:
        raise UsageError("ranking layers got no image; give at least one batch.")
    errors = {(unit.layer, part): _Error() for unit in units for part in unit.parts}
    switched = [layer for layer in graph.layers.values() if isinstance(layer, (FakeQuant, QuantLinear))]
    before, weights = [layer.enabled for layer in switched], model.get_weights()
    try:
        unsettle(model)
        for layer in switched:
            layer.enabled = False
        for number, batch in enumerate(shown):
            values = _reference(graph, model, batch)
            for done, unit in enumerate(units):
                for part, names in unit.parts.items():
                    found = _with_enabled(graph, values, names)
                    errors[unit.layer, part].add(values[graph.outputs[0]], found)
                if progress is not None:
                    progress(number * len(units) + done + 1, len(shown) * len(units), f"ranking {unit.layer}")
    finally:
        model.set_weights(weights)
        for layer, enabled in zip(switched, before, strict=True):
            layer.enabled = enabled
    damages = [_damage(unit, {part: errors[unit.layer, part] for part in unit.parts}) for unit in units]
    return tuple(sorted(damages, key=lambda damage: damage.sqnr_db))


@dataclass(frozen=True)
class _Unit:
    """What is raised as one. `parts`: `all`, `weights` or `activations` → the layers to quantize."""

    layer: str
    parts: dict[str, tuple[str, ...]]
    sixteen: bool


def _units(graph: GraphView) -> list[_Unit]:
    """In the model's order: each quantizer with the linear layer before it; linear layers with none of their own."""
    linear: dict[str, str] = {}
    alone: list[str] = []
    for name in graph.order:
        layer = graph.layers[name]
        if isinstance(layer, QuantLinear) and layer.weights_grid != "float32":
            quantizer = _quantizer_behind(graph, name)
            if quantizer is None:
                alone.append(name)
            else:
                linear[quantizer] = name
    units = []
    for name in graph.order:
        layer = graph.layers[name]
        if name in alone:
            units.append(_Unit(name, {"all": (name,), "weights": (name,)}, sixteen=False))
        elif isinstance(layer, FakeQuant) and layer.observes:
            rounded = (name, *_followers(graph, name))
            weights = (linear[name],) if name in linear else ()
            parts = {"all": (*weights, *rounded), "activations": rounded, **({"weights": weights} if weights else {})}
            units.append(_Unit(name.removesuffix("_quant"), parts, _can_have_16_bits(graph, name)))
    return units


def _quantizer_behind(graph: GraphView, name: str) -> str | None:
    """The quantizer of what is fused with a linear layer; None if its output is joined, or stays float."""
    follower = graph.only_consumer(name)
    while follower is not None and not isinstance(graph.layers[follower], FakeQuant):
        if len(graph.inputs[follower]) > 1 or isinstance(graph.layers[follower], QuantLinear):
            return None
        follower = graph.only_consumer(follower)
    return follower


def _followers(graph: GraphView, quantizer: str) -> tuple[str, ...]:
    """The quantizers that round to its grid again."""
    return tuple(n for n in graph.order if getattr(graph.layers[n], "follows", None) == quantizer)


def _can_have_16_bits(graph: GraphView, quantizer: str) -> bool:
    """Whether it has 8 now, and neither what writes nor what reads the tensor is a kernel for 8 bits only."""
    if graph.layers[quantizer].bits == 16 or _needs_8_bits(graph.layers[graph.only_input(quantizer)]):
        return False
    pending = list(graph.consumers[quantizer])
    while pending:
        name = pending.pop()
        layer = graph.layers[name]
        if _needs_8_bits(layer):
            return False
        if is_pass_through(layer) or (isinstance(layer, FakeQuant) and layer.follows):
            pending.extend(graph.consumers[name])
    return True


def _needs_8_bits(layer: Any) -> bool:
    """TFLite has SPACE_TO_DEPTH in int8 and float only."""
    return type(layer) is SpaceToDepth


def _reference(graph: GraphView, model: Any, batch: np.ndarray) -> dict[str, Any]:
    """Every layer's output with nothing quantized."""
    (source,) = (tensor._keras_history.operation.name for tensor in model.inputs)
    values = {source: ops.convert_to_tensor(batch, dtype="float32")}
    for name in graph.order:
        if name != source:
            values[name] = _computed(graph, name, values)
    output = values[graph.outputs[0]]
    if not bool(ops.all(ops.isfinite(output))) or not bool(ops.any(output)):
        raise UsageError(f"the output of {model.name} is not finite or all zero on these images; train it again.")
    return values


def _with_enabled(graph: GraphView, values: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The output with these layers quantized; only what depends on them is computed again."""
    for name in names:
        graph.layers[name].enabled = True
    try:
        changed: dict[str, Any] = {}
        waiting = {name: len(readers) for name, readers in graph.consumers.items()}
        for name in graph.order:
            sources = graph.inputs[name]
            if name in names or any(source in changed for source in sources):
                changed[name] = _computed(graph, name, {s: changed.get(s, values[s]) for s in sources})
            for source in sources:
                waiting[source] -= 1
                if not waiting[source] and source not in graph.outputs:
                    changed.pop(source, None)
        return changed.get(graph.outputs[0], values[graph.outputs[0]])
    finally:
        for name in names:
            graph.layers[name].enabled = False


def _computed(graph: GraphView, name: str, values: dict[str, Any]) -> Any:
    """A layer's function itself: Keras' `__call__` around it takes as long as a small layer does."""
    layer, inputs = graph.layers[name], [values[source] for source in graph.inputs[name]]
    # As in training the sums and products are those of floats; else they are computed both ways.
    more = {"training": True} if type(layer) in ELEMENTWISE else {}
    return layer.call(inputs[0] if len(inputs) == 1 else inputs, **more)


class _Error:
    """Sums over batches."""

    def __init__(self) -> None:
        self.signal = self.noise = self.largest = 0.0
        self.positions = self.moved = 0

    def add(self, reference: Any, found: Any) -> None:
        """Take one batch's outputs `[N, ..., C]`."""
        one, other = (ops.convert_to_numpy(value).astype(np.float64) for value in (reference, found))
        difference = np.abs(other - one)
        self.signal += float(np.square(one).sum())
        self.noise += float(np.square(difference).sum())
        self.largest = max(self.largest, float(difference.max()))
        self.moved += int(np.count_nonzero(one.argmax(-1) != other.argmax(-1)))
        self.positions += one[..., 0].size

    @property
    def sqnr_db(self) -> float:
        """`inf` without any noise."""
        return 10.0 * math.log10(self.signal / self.noise) if self.noise else math.inf


def _damage(unit: _Unit, errors: dict[str, _Error]) -> Damage:
    weights, activations = (errors[p].sqnr_db if p in errors else math.inf for p in ("weights", "activations"))
    by_weights = "weights" in errors and (weights < activations or not unit.sixteen)
    return Damage(
        layer=unit.layer,
        sqnr_db=errors["all"].sqnr_db,
        disagreement=errors["all"].moved / errors["all"].positions,
        largest=errors["all"].largest,
        weights_sqnr_db=weights,
        activations_sqnr_db=activations,
        raised="float" if by_weights else "int16x8" if unit.sixteen else None,
    )
