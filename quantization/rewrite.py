"""The one rewrite: a float functional model → the same model with quantizers where the rules put them."""

from typing import Any

import keras
import numpy as np

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView, call, copy_layer, rebuild, view
from mobile_seg.quantization.layers import FakeQuant, QuantConv2D, QuantDepthwiseConv2D
from mobile_seg.quantization.rules import LINEAR_LAYERS, RULES, Placement
from mobile_seg.quantization.scheme import INT8, Scheme

_KEPT_CONFIG_OF_CONV = "kernel_size strides padding dilation_rate data_format use_bias activation name".split()


def insert_quantizers(model: keras.Model, *, scheme: Scheme = INT8, decay: float = 0.99) -> keras.Model:
    """Return a quantization-aware copy of a trained float model; the model given is untouched.

    Batch normalization is folded into its convolution with the moving statistics as they stand. The new
    activation ranges are not set: run `calibrate` before training or exporting.

    Raises:
        UnsupportedLayerError: for a layer that no rule covers, by name.
    """
    graph = view(model)
    _check_supported(graph)

    def emit(layer: Any, *inputs: Any) -> Any:
        output = _emit_float_part(graph, layer, inputs, scheme)
        if _placement(graph, layer.name) is Placement.NONE:
            return output
        return FakeQuant(
            bits=scheme.activation_bits, decay=decay, fixed_range=_fixed_range(layer), name=f"{layer.name}_quant"
        )(output)

    return rebuild(model, emit, name=f"{model.name}_{scheme.name}_qat")


def is_quantized(model: keras.Model) -> bool:
    """Whether the model holds quantizers."""
    return any(isinstance(layer, FakeQuant) for layer in model.layers)


def _placement(graph: GraphView, name: str) -> Placement:
    for rule in RULES:
        placement = rule(graph, name)
        if placement is not None:
            return placement
    layer = graph.layers[name]
    raise UnsupportedLayerError(
        f"layer {name} ({type(layer).__name__}) has no quantization rule; "
        "rebuild it from supported layers, or add a rule in quantization/rules.py"
    )


def _check_supported(graph: GraphView) -> None:
    for name in graph.order:
        _placement(graph, name)
        layer = graph.layers[name]
        if isinstance(layer, keras.layers.BatchNormalization) and folded_into(graph, name) is None:
            raise UnsupportedLayerError(
                f"batch normalization {name} does not follow a convolution of its own, so it cannot be folded; "
                "put it right after the convolution"
            )
        if isinstance(layer, LINEAR_LAYERS) and layer.data_format != "channels_last":
            raise UnsupportedLayerError(f"layer {name} is channels_first; TFLite's int8 kernels are channels_last")


def folded_into(graph: GraphView, name: str) -> str | None:
    """The convolution that this batch normalization folds into, or None."""
    source = graph.only_input(name)
    alone = graph.only_consumer(source) == name
    return source if alone and isinstance(graph.layers[source], LINEAR_LAYERS) else None


def _emit_float_part(graph: GraphView, layer: Any, inputs: tuple[Any, ...], scheme: Scheme) -> Any:
    if isinstance(layer, LINEAR_LAYERS):
        follower = graph.only_consumer(layer.name)
        candidate = graph.layers[follower] if follower else None
        batch_norm = candidate if isinstance(candidate, keras.layers.BatchNormalization) else None
        quantized = _quantized_convolution(layer, batch_norm, scheme)
        output = quantized(*inputs)
        quantized.take_weights(layer, batch_norm)
        return output
    if isinstance(layer, keras.layers.BatchNormalization):
        return inputs[0]
    return call(copy_layer(layer), *inputs)


def _quantized_convolution(layer: Any, batch_norm: Any, scheme: Scheme) -> Any:
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    kind = QuantDepthwiseConv2D if depthwise else QuantConv2D
    config = layer.get_config()
    kept = {key: config[key] for key in _KEPT_CONFIG_OF_CONV}
    size = {"depth_multiplier": layer.depth_multiplier} if depthwise else {"filters": layer.filters}
    if not depthwise and layer.groups != 1:
        raise UnsupportedLayerError(f"layer {layer.name} has {layer.groups} groups; only 1 is supported in int8")
    return kind(
        **kept,
        **size,
        bits=scheme.weight_bits,
        batch_norm=batch_norm is not None,
        epsilon=batch_norm.epsilon if batch_norm is not None else 1e-3,
    )


def _fixed_range(layer: Any) -> tuple[float, float] | None:
    if not isinstance(layer, keras.layers.Rescaling):
        return None
    scale, offset = float(np.squeeze(layer.scale)), float(np.squeeze(layer.offset))
    return offset, 255.0 * scale + offset
