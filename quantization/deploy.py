"""From a quantization-aware model to the graph that is converted: constants only, nothing left to train."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras

from mobile_seg.errors import UsageError
from mobile_seg.graph import GraphView, call, copy_layer, rebuild, view
from mobile_seg.quantization.arithmetic import TWINS as ELEMENTWISE
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.rules import is_clamp, is_pass_through
from mobile_seg.quantization.settle import quantizer_behind

_PLAIN_KINDS: dict[type, Any] = {twin: plain for plain, twin in ELEMENTWISE.items()}


def deploy_graph(model: keras.Model) -> keras.Model:
    """Return the model with baked weights and fixed quantizers, each range a constant.

    Branches of a concatenation get the joined tensor's quantizer where they are produced, so that the
    integers are copied as they are. The values are the same.

    Raises:
        UsageError: if the model is not quantization-aware.
    """
    if not is_quantized(model):
        raise UsageError(f"{model.name} holds no quantizers; quantize it first (mobile_seg.quantize).")
    graph = view(model)
    shared = _ranges_shared_with_branches(graph)
    twins: Counter[bytes] = Counter()

    def emit(layer: Any, *inputs: Any) -> Any:
        if isinstance(layer, FakeQuant):
            return _fixed(layer, layer.name)(*inputs)
        if is_clamp(layer) and (quantizer := quantizer_behind(graph, layer.name)) is not None:
            # Integers from 0 on end where the range does; around 0 the kernel has to cut what is below.
            return inputs[0] if quantizer.bits == 8 else keras.layers.ReLU(name=layer.name)(inputs[0])
        output = _baked(layer, inputs, twins) if isinstance(layer, QuantLinear) else _plain(layer, inputs)
        owner = shared.get(layer.name)
        return output if owner is None else _fixed(owner, f"{layer.name}_shared_quant")(output)

    return rebuild(model, emit, name=f"{model.name}_deploy")


def _plain(layer: Any, inputs: tuple[Any, ...]) -> Any:
    plain = _PLAIN_KINDS.get(type(layer))
    return call(layer if plain is None else plain.from_config(layer.get_config()), *inputs)


def _baked(layer: Any, inputs: tuple[Any, ...], twins: Counter[bytes]) -> Any:
    """`twins`: how often each kernel was there before; the converter would make one float constant of them."""
    copy: Any = copy_layer(layer, batch_norm=False, batch_statistics=False, baked=True, use_bias=True)
    output = call(copy, *inputs)
    copy.bake(layer)
    kernel = hashlib.sha256(keras.ops.convert_to_numpy(copy.kernel).tobytes()).digest()
    if twins[kernel]:
        copy.tell_apart(twins[kernel])
    twins[kernel] += 1
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
