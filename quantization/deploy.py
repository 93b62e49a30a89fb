"""From a quantization-aware model to the graph that is converted: constants only, nothing left to train."""

from collections.abc import Iterator
from typing import Any

import keras

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, call, copy_layer, rebuild, view
from mobile_seg.quantization.layers import FakeQuant, QuantConv2D, QuantDepthwiseConv2D
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.rules import is_pass_through

_PLAIN_KINDS = {QuantConv2D: keras.layers.Conv2D, QuantDepthwiseConv2D: keras.layers.DepthwiseConv2D}


def deploy_graph(model: keras.Model) -> keras.Model:
    """Return the model with plain convolutions (weights on their integer grid) and fixed quantizers.

    Branches of a concatenation get the joined tensor's quantizer where they are produced, so that the
    converter finds one range on both sides of every integer copy. The values are the same.

    Raises:
        UsageError: if the model is not quantization-aware.
    """
    if not is_quantized(model):
        raise UsageError(f"{model.name} holds no quantizers; quantize it first (mobile_seg.quantize).")
    graph = view(model)
    shared = _ranges_shared_with_branches(graph)

    def emit(layer: Any, *inputs: Any) -> Any:
        if isinstance(layer, FakeQuant):
            return _fixed(layer, layer.name)(*inputs)
        plain = _PLAIN_KINDS.get(type(layer))
        output = call(copy_layer(layer), *inputs) if plain is None else _plain_convolution(layer, plain, inputs)
        owner = shared.get(layer.name)
        return output if owner is None else _fixed(owner, f"{layer.name}_shared_quant")(output)

    return rebuild(model, emit, name=f"{model.name}_deploy")


def _plain_convolution(layer: Any, plain: Any, inputs: tuple[Any, ...]) -> Any:
    config = layer.get_config()
    for folding in ("bits", "batch_norm", "epsilon"):
        del config[folding]
    convolution = plain.from_config({**config, "use_bias": True})
    output = convolution(*inputs)
    convolution.set_weights(layer.deploy_weights())
    return output


def _fixed(quantizer: FakeQuant, name: str) -> FakeQuant:
    return FakeQuant(bits=quantizer.bits, fixed_range=quantizer.get_range(), name=name)


def _ranges_shared_with_branches(graph: GraphView) -> dict[str, FakeQuant]:
    """Map each layer that feeds a concatenation unquantized to the quantizer behind that concatenation."""
    shared: dict[str, FakeQuant] = {}
    for name in graph.order:
        follower = graph.only_consumer(name)
        owner = graph.layers[follower] if follower else None
        if isinstance(graph.layers[name], keras.layers.Concatenate) and isinstance(owner, FakeQuant):
            shared.update(dict.fromkeys(_unquantized_branches(graph, name), owner))
    return shared


def _unquantized_branches(graph: GraphView, concatenation: str) -> Iterator[str]:
    """The layers whose values a concatenation joins without a range of their own, through inner ones too."""
    for source in graph.inputs[concatenation]:
        while is_pass_through(graph.layers[source]):
            source = graph.only_input(source)
        if isinstance(graph.layers[source], keras.layers.Concatenate):
            yield from _unquantized_branches(graph, source)
        elif not isinstance(graph.layers[source], FakeQuant):
            yield source
