"""The last step of quantization: put what is still continuous on the grid that the integer kernels use."""

import keras
import numpy as np
from keras import ops

from mobile_seg.graph import GraphView, view
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rules import is_pass_through


def settle(model: keras.Model) -> int:
    """Make followers' ranges and folded biases what the integer kernels use; return how many biases changed.

    The kernel adds the bias to integer products, so its step is input scale times weight scale, per
    channel (TFLite int8 specification). Left unrounded, the converter rounds it: an error of about a
    hundredth of an output step, which tips about one activation in a hundred to its neighbour, layer
    after layer. Rounding it here first makes the trained graph and the artifact the same.
    """
    sync_ranges(model)
    freeze_batch_norm(model)
    graph = view(model)
    return sum(_settle_bias(graph, name) for name in graph.order)


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


def _settle_bias(graph: GraphView, name: str) -> bool:
    layer = graph.layers[name]
    if not isinstance(layer, QuantLinear) or not (layer.batch_norm or layer.use_bias):
        return False
    source = quantizer_of(graph, graph.only_input(name))
    if source is None or not layer.weights_grid.startswith("int8"):
        return False
    low, high = source.get_range()
    input_scale = np.float64(high - low) / (2**source.bits - (2 if source.bits == 16 else 1))
    bias = ops.convert_to_numpy(layer.folded()[1]).astype(np.float64)
    step = input_scale * layer.weight_scales()
    rounded = np.round(bias / step) * step
    target = layer.beta if layer.batch_norm else layer.bias
    target.assign(ops.convert_to_numpy(target) + (rounded - bias).astype(np.float32))
    return True
