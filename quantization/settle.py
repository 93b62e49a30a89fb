"""The last step of quantization: put what is still continuous on the grid that the integer kernels use."""

import keras
import numpy as np
from keras import ops

from mobile_seg.graph import GraphView, view
from mobile_seg.quantization.layers import FakeQuant, QuantConv2D, QuantDepthwiseConv2D
from mobile_seg.quantization.rules import is_pass_through


def settle_biases(model: keras.Model) -> int:
    """Round every folded bias, in place, to the int32 grid of its kernel; return how many layers changed.

    The kernel adds the bias to integer products, so its step is input scale times weight scale, per
    channel (TFLite int8 specification). Left unrounded, the converter rounds it: an error of about a
    hundredth of an output step, which tips about one activation in a hundred to its neighbour, layer
    after layer. Rounding it here first makes the trained graph and the artifact the same.
    """
    graph = view(model)
    changed = 0
    for name in graph.order:
        layer = graph.layers[name]
        if not isinstance(layer, (QuantConv2D, QuantDepthwiseConv2D)) or not (layer.batch_norm or layer.use_bias):
            continue
        source = _quantizer_before(graph, name)
        if source is None:
            continue
        low, high = source.get_range()
        input_scale = np.float64(high - low) / (2**source.bits - 1)
        kernel, bias = (ops.convert_to_numpy(value).astype(np.float64) for value in layer.folded())
        step = input_scale * layer.weight_scales(kernel)
        rounded = np.round(bias / step) * step
        target = layer.beta if layer.batch_norm else layer.bias
        target.assign(ops.convert_to_numpy(target) + (rounded - bias).astype(np.float32))
        changed += 1
    return changed


def _quantizer_before(graph: GraphView, name: str) -> FakeQuant | None:
    source = graph.only_input(name)
    while is_pass_through(graph.layers[source]):
        source = graph.only_input(source)
    layer = graph.layers[source]
    return layer if isinstance(layer, FakeQuant) else None
