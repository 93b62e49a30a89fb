"""Reading and rebuilding functional Keras graphs; the only module that touches Keras' node records.

Quantization and conversion both rewrite graphs: a layer becomes another, vanishes, or gains a follower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from mobile_seg.bare_operations import translate
from mobile_seg.errors import UnsupportedLayerError


@dataclass(frozen=True)
class GraphView:
    """Who feeds whom. `order` is topological; `inputs` and `consumers` hold layer names, call by call."""

    order: tuple[str, ...]
    inputs: dict[str, tuple[str, ...]]
    consumers: dict[str, tuple[str, ...]]
    layers: dict[str, Any]
    outputs: tuple[str, ...]

    def only_consumer(self, name: str) -> str | None:
        """The one layer that reads `name`'s output, or None if several do or the model returns it."""
        readers = self.consumers[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def only_input(self, name: str) -> str:
        """The one layer that `name` reads."""
        (source,) = self.inputs[name]
        return source


def view(model: keras.Model) -> GraphView:
    """Read a functional model's wiring.

    Raises:
        UnsupportedLayerError: if the model is not functional, or holds another model, a bare `keras.ops`
            call, a layer called several times, with more than its input tensors, or with several outputs.
    """
    if not isinstance(model, keras.src.models.functional.Functional):
        raise UnsupportedLayerError(
            f"{model.name} is not a functional Keras model; build it with keras.Model(inputs, outputs)"
        )
    inputs: dict[str, tuple[str, ...]] = {}
    layers: dict[str, Any] = {}
    consumers: dict[str, list[str]] = {operation.name: [] for operation in model.operations}
    used = nodes(model)
    for operation in model.operations:
        calls = [node for node in used if node.operation is operation]
        _check_plain_call(operation, calls[0])
        if len(calls) != 1:
            raise UnsupportedLayerError(
                f"layer {operation.name} is called {len(calls)} times; give each call a layer of its own"
            )
        sources = tuple(tensor._keras_history.operation.name for tensor in calls[0].input_tensors)
        inputs[operation.name] = sources
        layers[operation.name] = operation
        for source in sources:
            consumers[source].append(operation.name)
    outputs = tuple(tensor._keras_history.operation.name for tensor in model.outputs)
    readers = {name: tuple(found) for name, found in consumers.items()}
    return GraphView(tuple(layers), inputs, readers, layers, outputs)


def _check_plain_call(operation: Any, node: Any) -> None:
    """A layer called on one tensor or one list of them, with one tensor out."""
    name = operation.name
    if not isinstance(operation, keras.layers.Layer):
        raise UnsupportedLayerError(
            f"{name} is a bare keras.ops call ({type(operation).__name__}); use a layer, such as keras.layers.Add"
        )
    if isinstance(operation, keras.Model):
        raise UnsupportedLayerError(f"{name} is a model inside the model; call its layers directly, each by its name")
    arguments, outputs = node.arguments, node.output_tensors
    given = {key for key, value in arguments.kwargs.items() if value is not None}
    extra = sorted(given - {"training"})  # a model decides `training` anew at each call
    if extra or len(arguments.args) > 1:
        what = ", ".join(extra) or f"{len(arguments.args)} arguments"
        raise UnsupportedLayerError(
            f"layer {name} is called with {what}; call it with one tensor or one list of tensors alone"
        )
    if len(outputs) != 1:
        raise UnsupportedLayerError(f"layer {name} returns {len(outputs)} tensors; use layers that return one")


Emit = Callable[..., Any]
"""`emit(layer, *inputs)`: build this layer's part of the new graph and return its output tensor."""


def rebuild(model: keras.Model, emit: Emit, *, name: str | None = None, emit_input: Emit | None = None) -> keras.Model:
    """Build a new functional model by calling `emit` once per layer, in order.

    `emit(layer, *inputs)` gets the original layer and the new tensors of its inputs. Positional tensor
    inputs only, which is what `view` accepts; several inputs arrive as separate arguments. `emit_input` is
    called once per input, with its layer and its new tensor, and returns what the input's readers get.
    """
    graph = view(model)
    new_inputs = _fresh_inputs(model)
    tensors = dict(zip((t._keras_history.operation.name for t in model.inputs), new_inputs, strict=True))
    given = frozenset(tensors)
    if emit_input is not None:
        tensors = {name: emit_input(graph.layers[name], tensor) for name, tensor in tensors.items()}
    for operation_name in graph.order:
        if operation_name not in given:
            sources = [tensors[source] for source in graph.inputs[operation_name]]
            tensors[operation_name] = emit(graph.layers[operation_name], *sources)
    return _model(new_inputs, [tensors[output] for output in graph.outputs], name or model.name)


def _fresh_inputs(model: Any) -> list[Any]:
    # The name of an unnamed input's tensor counts up with every tensor of the process; its layer's does not.
    return [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor._keras_history.operation.name)
        for tensor in model.inputs
    ]


def _model(inputs: list[Any], outputs: list[Any], name: str) -> keras.Model:
    one_in, one_out = len(inputs) == 1, len(outputs) == 1
    return keras.Model(inputs[0] if one_in else inputs, outputs[0] if one_out else outputs, name=name)


def plain(model: keras.Model) -> keras.Model:
    """Return an equal model that `view` accepts: models inside become their layers, bare operations layers.

    A layer that is called several times becomes one per call, each with the weights of all. Names are kept; a
    layer of an inner model whose name is taken is called `{model}_{layer}`, that of a second call `{layer}_2`.
    The model given is untouched, and returned as it is if there is nothing to do. A Sequential model counts as
    functional.

    Raises:
        UnsupportedLayerError: for an inner model that is not functional or casts its input to integers, a bare
            operation that no layer stands for, and for what `view` refuses.
    """
    outer = functional(model)
    called_once = len(nodes(outer)) == len(outer.operations)
    if called_once and all(_is_layer(operation) for operation in outer.operations):
        return outer
    inputs = _fresh_inputs(outer)
    unfolding = _Unfolding({operation.name for operation in outer.operations})
    outputs = unfolding.run(outer, inputs)
    makers = [tensor._keras_history.operation for tensor in outer.outputs]
    for index, maker in enumerate(makers):
        # An inner model may give several outputs, a layer may be called for each: a name is given once.
        if maker not in makers[:index] and maker.name not in unfolding.made:
            outputs[index] = named(outputs[index], maker.name)
    return _model(inputs, outputs, model.name)


def made_by(tensor: Any) -> tuple[Any, Any]:
    """The layer that made a symbolic tensor, and the tensor (or list of several) that it was called on."""
    node = node_of(tensor)
    sources = node.input_tensors
    return node.operation, sources[0] if len(sources) == 1 else list(sources)


def named(tensor: Any, name: str) -> Any:
    """`tensor`, through a linear Activation of that name if its layer is called otherwise: outputs keep their names."""
    layer, _ = made_by(tensor)
    if layer.name == name:
        return tensor
    return keras.layers.Activation("linear", name=name, dtype=layer.dtype_policy)(tensor)


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and not isinstance(operation, keras.Model)


def functional(model: Any) -> Any:
    """The graph inside a functional or Sequential model; one that overrides `call` has none that counts.

    Raises:
        UnsupportedLayerError: for any other model.
    """
    graph = model._functional if type(model) is keras.Sequential else model
    kind = keras.src.models.functional.Functional
    if not isinstance(graph, kind) or type(graph).call is not kind.call:
        raise UnsupportedLayerError(
            f"{model.name} is not a functional Keras model; build it with keras.Model(inputs, outputs)"
        )
    return graph


class _Unfolding:
    """One walk through a model and the models inside it, building the plain copy."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.seen: set[int] = set()
        self.made: set[str] = set()

    def run(self, function: Any, inputs: list[Any], *, prefix: str = "") -> list[Any]:
        """Copy `function`'s graph onto `inputs`; return its outputs. A name that is taken gets the prefix."""
        tensors = {id(old): new for old, new in zip(function.inputs, inputs, strict=True)}
        for node in (node for node in nodes(function) if not node.is_input):
            arguments, _ = node.arguments.fill_in(tensors)
            built = self._build(node, arguments, prefix)
            tensors.update((id(old), new) for old, new in zip(node.output_tensors, built, strict=True))
        return [tensors[id(output)] for output in function.outputs]

    def _build(self, node: Any, arguments: Any, prefix: str) -> list[Any]:
        operation = node.operation
        again = id(operation) in self.seen
        self.seen.add(id(operation))
        if isinstance(operation, keras.Model):
            return self._inner(node, arguments, again)
        name = self._spare(operation.name) if again and not prefix else self._name(operation.name, prefix)
        self.made.add(name)
        if not isinstance(operation, keras.layers.Layer):
            return [translate(operation, name, *arguments)]
        _check_plain_call(operation, node)
        copy = copy_layer(operation, name=name)
        output = copy(*arguments)
        copy_weights(operation, copy)
        return [output]

    def _inner(self, node: Any, arguments: Any, again: bool) -> list[Any]:
        model = node.operation
        inner = functional(model)
        if any(
            keras.backend.is_int_dtype(own.dtype) and own.dtype != given.dtype
            for own, given in zip(inner.inputs, node.input_tensors, strict=True)
        ):
            raise UnsupportedLayerError(f"{model.name} casts its input to integers; give it a float keras.Input")
        prefix = self._spare(model.name) if again else model.name
        return self.run(inner, keras.tree.flatten(arguments[0]), prefix=prefix)

    def _spare(self, name: str) -> str:
        """The name with the first number from 2 that nobody has."""
        count = 2
        while f"{name}_{count}" in self.names:
            count += 1
        self.names.add(f"{name}_{count}")
        return f"{name}_{count}"

    def _name(self, name: str, prefix: str) -> str:
        """The name itself in the outer model, where all are reserved; inside, one that nobody has."""
        if not prefix:
            return name
        wanted, count = name, 1
        while wanted in self.names:
            wanted = f"{prefix}_{name}" if count == 1 else f"{prefix}_{name}_{count}"
            count += 1
        self.names.add(wanted)
        return wanted


def copy_layer(layer: Any, **changes: Any) -> Any:
    """A new, unbuilt layer with the same configuration but for `changes`; its weights are not copied."""
    return layer.__class__.from_config({**layer.get_config(), **changes})


def copy_weights(source: Any, target: Any) -> None:
    """Give a built layer another's weights."""
    target.set_weights(source.get_weights())
    if type(target) is keras.layers.Normalization:
        target.finalize_state()  # it computes with numbers made from its weights


def call(layer: Any, *inputs: Any) -> Any:
    """Call a layer on one tensor, or on the list of several.

    Of a layer that another graph has already, the weights are then shared, which costs a third of copying it.
    """
    return layer(inputs[0] if len(inputs) == 1 else list(inputs))


def nodes(graph: Any) -> list[Any]:
    """Keras' records of a functional model's calls, each behind those it reads."""
    return [node for depth in sorted(graph._nodes_by_depth, reverse=True) for node in graph._nodes_by_depth[depth]]


def node_of(tensor: Any) -> Any:
    """The record of the call that made a symbolic tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]
