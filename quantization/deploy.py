"""From a quantization-aware model to the graph that is converted: constants only, nothing left to train."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, call, copy_layer, rebuild, view
from mobile_seg.layers import WeightedSum
from mobile_seg.quantization.arithmetic import TWINS as ELEMENTWISE
from mobile_seg.quantization.fake_quant import RANGE_FLOOR, FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.rules import is_clamp, is_pass_through
from mobile_seg.quantization.settle import quantizer_behind, quantizer_of

_PLAIN_KINDS: dict[type, Any] = {twin: plain for plain, twin in ELEMENTWISE.items()}


def deploy_graph(model: keras.Model) -> keras.Model:
    """Return the model with baked weights and fixed quantizers, each range a constant.

    Branches of a concatenation get the joined tensor's quantizer where they are produced, so that the
    integers are copied as they are. The inputs of a weighted fusion are scaled where they are produced, by
    constants, and the fusion is a sum. The values are the same.

    Raises:
        UsageError: if the model is not quantization-aware.
    """
    if not is_quantized(model):
        raise UsageError(f"{model.name} holds no quantizers; quantize it first (mobile_seg.quantize).")
    graph = view(model)
    shared = _ranges_shared_with_branches(graph)
    factors = _fusion_factors(graph)
    twins: Counter[bytes] = Counter()

    def emit(layer: Any, *inputs: Any) -> Any:
        factor = factors.get(layer.name, 1.0)
        if isinstance(layer, FakeQuant):
            return _fixed(layer, layer.name, factor)(*inputs)
        if type(layer) is WeightedSum:
            return _fusion(graph, layer, inputs, factors)
        if is_clamp(layer) and (quantizer := quantizer_behind(graph, layer.name)) is not None:
            # Integers from 0 on end where the range does; around 0 the kernel has to cut what is below.
            return inputs[0] if quantizer.bits == 8 else keras.layers.ReLU(name=layer.name)(inputs[0])
        output = _baked(layer, inputs, factor, twins) if isinstance(layer, QuantLinear) else _plain(layer, inputs)
        owner = shared.get(layer.name)
        return output if owner is None else _fixed(owner, f"{layer.name}_shared_quant")(output)

    return rebuild(model, emit, name=f"{model.name}_deploy")


def _plain(layer: Any, inputs: tuple[Any, ...]) -> Any:
    plain = _PLAIN_KINDS.get(type(layer))
    return call(layer if plain is None else plain.from_config(layer.get_config()), *inputs)


def _baked(layer: Any, inputs: tuple[Any, ...], factor: float, twins: Counter[bytes]) -> Any:
    """`twins`: how often each kernel was there before; the converter would make one float constant of them."""
    copy: Any = copy_layer(layer, batch_norm=False, batch_statistics=False, baked=True, use_bias=True)
    output = call(copy, *inputs)
    copy.bake(layer, factor)
    kernel = hashlib.sha256(keras.ops.convert_to_numpy(copy.kernel).tobytes()).digest()
    if twins[kernel]:
        copy.tell_apart(twins[kernel])
    twins[kernel] += 1
    return output


def _fixed(quantizer: FakeQuant, name: str, factor: float = 1.0) -> FakeQuant:
    low, high = quantizer.get_range()
    return FakeQuant(bits=quantizer.bits, fixed_range=(factor * low, factor * high), name=name)


def _fusion(graph: GraphView, layer: Any, inputs: tuple[Any, ...], factors: dict[str, float]) -> Any:
    """The sum of what was scaled already, and of products with constants, which keep their integers as they are."""
    scaled = []
    for position, (source, share, tensor) in enumerate(
        zip(graph.inputs[layer.name], _shares(layer), inputs, strict=True)
    ):
        if source not in factors:
            name = f"{layer.name}_share{position}"
            owner = quantizer_of(graph, source)
            tensor = keras.layers.Rescaling(share, name=name)(tensor)
            tensor = tensor if owner is None else _fixed(owner, f"{name}_quant", share)(tensor)
        scaled.append(tensor)
    return keras.layers.Add(name=layer.name)(scaled)


def _shares(layer: Any) -> list[float]:
    """What each input of a fusion counts for; a share of nothing still needs a range."""
    return [max(float(share), RANGE_FLOOR) for share in keras.ops.convert_to_numpy(layer.normalized())]


def _fusion_factors(graph: GraphView) -> dict[str, float]:
    """Map the layers that make a fusion's input, and nothing else, to its share: linear layer, ReLU, quantizer, copies.

    Scaling kernel, bias and range alike changes no integer, so the share costs nothing.
    """
    factors: dict[str, float] = {}
    for name in graph.order:
        if type(graph.layers[name]) is not WeightedSum:
            continue
        for source, share in zip(graph.inputs[name], _shares(graph.layers[name]), strict=True):
            chain = _scalable_chain(graph, source)
            factors.update(dict.fromkeys(chain, share))
    return factors


def _scalable_chain(graph: GraphView, name: str) -> list[str]:
    """From a fusion's input back to the linear layer that makes it; empty if someone else reads on the way."""
    chain: list[str] = []
    while graph.only_consumer(name) is not None:
        layer = graph.layers[name]
        chain.append(name)
        if isinstance(layer, QuantLinear):
            return chain if layer.activation.__name__ in ("linear", "relu") else []
        unbounded = type(layer) is keras.layers.ReLU and layer.max_value is None
        relu = type(layer) is keras.layers.Activation and layer.activation.__name__ == "relu"
        if not (isinstance(layer, FakeQuant) or is_pass_through(layer) or unbounded or relu):
            return []
        name = graph.only_input(name)
    return []


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
