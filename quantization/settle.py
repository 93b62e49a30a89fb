"""The last step of quantization: put what is still continuous on the grid that the integer kernels use."""

from collections.abc import Iterator
from typing import Any

import keras

from mobile_seg.graph import GraphView, view
from mobile_seg.quantization.arithmetic import BY_STEPS, QuantAdd, QuantConcatenate, snapped_range
from mobile_seg.quantization.arithmetic import TWINS as ELEMENTWISE
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rules import is_fused_activation, is_pass_through
from mobile_seg.quantization.sums import Sum, part_from_ties


def settle(model: keras.Model) -> int:
    """Make ranges, steps and biases what the integer kernels use; return how many biases were rounded.

    The kernel adds the bias to integer products, so its step is input scale times weight scale, per
    channel (TFLite int8 specification). Left unrounded, the converter rounds it: an error of about a
    hundredth of an output step, which tips about one activation in a hundred to its neighbour, layer
    after layer. Rounding it here first makes the trained graph and the artifact the same.
    """
    freeze_batch_norm(model)
    for layer in model.layers:
        if isinstance(layer, FakeQuant) and layer.observes and layer.bits == 8:
            layer.set_range(*snapped_range(*layer.get_range()))
    sync_ranges(model)
    graph = view(model)
    for name in graph.order:
        if _widen_output(graph, name):
            sync_ranges(model)
    part_from_ties(list(sums_of(model)))
    return tell_steps(model)


def tell_steps(model: keras.Model) -> int:
    """Settle every layer by the ranges as they stand; return how many biases were rounded."""
    sync_ranges(model)
    graph = view(model)
    return sum(_settle_layer(graph, name) for name in graph.order)


def unsettle(model: keras.Model) -> None:
    """Compute in floats again: ranges are about to change, or to be switched off."""
    for layer in settling_layers(model):
        layer.unsettle()


def settling_layers(model: keras.Model) -> list[Any]:
    """The layers that compute otherwise once they are told their steps."""
    kinds = (QuantLinear, *ELEMENTWISE.values())
    return [layer for layer in model.layers if isinstance(layer, kinds)]


def infer_in_integers(model: keras.Model) -> None:
    """Let what is settled compute so without looking at its steps first, until it is trained or settled again.

    Half the work of inference, and less than half of what building its function takes.
    """
    for layer in settling_layers(model):
        layer.hold_integers()


def sync_ranges(model: keras.Model) -> None:
    """Give every quantizer that rounds to another's grid that grid as it stands."""
    for layer in model.layers:
        if isinstance(layer, FakeQuant) and layer.follows:
            layer.set_range(*model.get_layer(layer.follows).get_range())


def freeze_batch_norm(model: keras.Model) -> bool:
    """Normalize by the moving statistics from now on, folded; return whether anything changed.

    A model that is being trained must build its training function anew.
    """
    thawed = [layer for layer in model.layers if isinstance(layer, QuantLinear) and layer.batch_statistics]
    for layer in thawed:
        layer.batch_statistics = False
    return bool(thawed)


def thaw_batch_norm(model: keras.Model) -> None:
    """Let training normalize by each batch's statistics and update the moving ones."""
    for layer in model.layers:
        if isinstance(layer, QuantLinear):
            layer.batch_statistics = layer.batch_norm


def quantizer_of(graph: GraphView, name: str) -> FakeQuant | None:
    """The quantizer that a tensor went through, copies apart; None if it was computed in float."""
    while is_pass_through(graph.layers[name]):
        name = graph.only_input(name)
    layer = graph.layers[name]
    return layer if isinstance(layer, FakeQuant) else None


def sums_of(model: keras.Model) -> Iterator[Sum]:
    """The sums and differences that are computed in 8 bits, in the graph's order."""
    graph = view(model)
    for name in graph.order:
        if not isinstance(graph.layers[name], QuantAdd):
            continue
        around = [quantizer_behind(graph, name), *(quantizer_of(graph, source) for source in graph.inputs[name])]
        grids = [graph.layers[one.follows or one.name] for one in around if one is not None and one.bits == 8]
        if len(grids) == 3:
            output, first, second = grids
            alone = [graph.only_consumer(one.name) is not None for one in (first, second)]
            yield Sum((first, second), output, (alone[0], alone[1]))


def _settle_layer(graph: GraphView, name: str) -> bool:
    """Tell a layer the steps of its inputs and its output, where all have 8 bits; whether a bias was rounded."""
    layer = graph.layers[name]
    linear = isinstance(layer, QuantLinear) and layer.has_steps
    if not linear and type(layer) not in ELEMENTWISE.values():
        return False
    sources = [quantizer_of(graph, source) for source in graph.inputs[name]]
    output = quantizer_behind(graph, name)
    # What a concatenation reads without a range of its own is on the joined grid already.
    complete = output is not None and (None not in sources or type(layer) is QuantConcatenate)
    exact = complete and all(quantizer.bits == 8 for quantizer in (*sources, output) if quantizer)
    if linear:
        before = sources[0].step if sources[0] else None
        return bool(layer.settle(before, output.step if exact and output else None))
    layer.computes = BY_STEPS  # what it held was of the steps before
    if exact:
        grids = [(one.step, one.zero_point) if one else (0.0, 0) for one in (*sources, output)]
        layer.settle(*zip(*grids, strict=True))
    return False


def _widen_output(graph: GraphView, name: str) -> bool:
    """Widen a range next to which the accumulator's step is huge, as of a ReLU that lets nothing through.

    XNNPACK refuses to multiply by 256 or more, and LiteRT 2.3 crashes on that refusal.
    """
    layer = graph.layers[name]
    source = quantizer_of(graph, graph.only_input(name)) if isinstance(layer, QuantLinear) else None
    output = quantizer_behind(graph, name)
    if source is None or output is None or not (layer.has_steps and output.observes) or output.bits != 8:
        return False
    least = source.step * float(layer.weight_steps(source.step).max()) / 128.0
    if output.step >= least:
        return False
    low, high = output.get_range()
    output.set_range(*snapped_range(low * least / output.step, high * least / output.step))
    return True


def quantizer_behind(graph: GraphView, name: str) -> FakeQuant | None:
    """The quantizer whose grid a kernel writes its output on: behind clamps, copies and joins that alone read it."""
    follower = graph.only_consumer(name)
    while follower is not None and not isinstance(graph.layers[follower], FakeQuant):
        layer = graph.layers[follower]
        if not (is_fused_activation(layer) or is_pass_through(layer) or isinstance(layer, keras.layers.Concatenate)):
            return None
        follower = graph.only_consumer(follower)
    return None if follower is None else graph.layers[follower]
