"""The one rewrite: a float functional model → the same model with quantizers where the rules put them."""

from typing import Any

import keras
import numpy as np

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, call, copy_layer, rebuild, view
from mobile_seg.quantization import limits
from mobile_seg.quantization.layers import FakeQuant, QuantConv2D, QuantDepthwiseConv2D
from mobile_seg.quantization.rules import LINEAR_LAYERS, RULES, Placement
from mobile_seg.quantization.scheme import INT8, Scheme

_KEPT_CONFIG_OF_CONV = (
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "data_format",
    "use_bias",
    "activation",
    "name",
)
_COMPUTE = "float32"
"""Fake quantization needs float32: float16 has too few bits to hit the grid. Variables are float32 anyway."""


def insert_quantizers(model: keras.Model, *, scheme: Scheme = INT8, decay: float = 0.99) -> keras.Model:
    """Return a quantization-aware copy of a trained float model; the model given is untouched.

    Batch normalization is folded into its convolution with the moving statistics as they stand. The new
    activation ranges are not set: run `calibrate` before training or exporting.

    Raises:
        UsageError: if the model is quantized already.
        UnsupportedLayerError: for a layer that cannot run in int8, by name, with the way out.
    """
    if is_quantized(model):
        raise UsageError(f"{model.name} is quantized already; start from the float model it was made from.")
    graph = view(model)
    limits.check(graph)

    def emit(layer: Any, *inputs: Any) -> Any:
        output = _emit_float_part(graph, layer, inputs, scheme)
        if _placement(graph, layer.name) is Placement.NONE:
            return output
        return FakeQuant(
            bits=scheme.activation_bits,
            decay=decay,
            fixed_range=_fixed_range(layer),
            name=f"{layer.name}_quant",
            dtype=_COMPUTE,
        )(output)

    return rebuild(model, emit, name=f"{model.name}_{scheme.name}_qat")


def is_quantized(model: keras.Model) -> bool:
    """Whether the model holds quantizers."""
    return any(isinstance(layer, FakeQuant) for layer in model.layers)


def _placement(graph: GraphView, name: str) -> Placement:
    answers = (rule(graph, name) for rule in RULES)
    return next(answer for answer in answers if answer is not None)


def _emit_float_part(graph: GraphView, layer: Any, inputs: tuple[Any, ...], scheme: Scheme) -> Any:
    if type(layer) in LINEAR_LAYERS:
        follower = graph.only_consumer(layer.name)
        candidate = graph.layers[follower] if follower else None
        batch_norm = candidate if type(candidate) is keras.layers.BatchNormalization else None
        quantized = _quantized_convolution(layer, batch_norm, scheme)
        output = quantized(*inputs)
        quantized.take_weights(layer, batch_norm)
        return output
    if type(layer) is keras.layers.BatchNormalization:
        return inputs[0]
    return call(copy_layer(layer, dtype=_COMPUTE), *inputs)


def _quantized_convolution(layer: Any, batch_norm: Any, scheme: Scheme) -> Any:
    depthwise = type(layer) is keras.layers.DepthwiseConv2D
    kind = QuantDepthwiseConv2D if depthwise else QuantConv2D
    config = layer.get_config()
    kept = {key: config[key] for key in _KEPT_CONFIG_OF_CONV}
    size = {"depth_multiplier": layer.depth_multiplier} if depthwise else {"filters": layer.filters}
    return kind(
        **kept,
        **size,
        bits=scheme.weight_bits,
        batch_norm=batch_norm is not None,
        epsilon=batch_norm.epsilon if batch_norm is not None else 1e-3,
        dtype=_COMPUTE,
    )


def _fixed_range(layer: Any) -> tuple[float, float] | None:
    if type(layer) is not keras.layers.Rescaling:
        return None
    scale, offset = float(np.squeeze(layer.scale)), float(np.squeeze(layer.offset))
    return offset, 255.0 * scale + offset
