"""Reading and rebuilding functional Keras graphs; the only module that touches Keras' node records.

Quantization and conversion both rewrite graphs: a layer becomes another, vanishes, or gains a follower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

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
    used = [node for depth in model._nodes_by_depth.values() for node in depth]
    for operation in model.operations:
        nodes = [node for node in used if node.operation is operation]
        _check_plain_call(operation, nodes)
        sources = tuple(tensor._keras_history.operation.name for tensor in nodes[0].input_tensors)
        inputs[operation.name] = sources
        layers[operation.name] = operation
        for source in sources:
            consumers[source].append(operation.name)
    outputs = tuple(tensor._keras_history.operation.name for tensor in model.outputs)
    readers = {name: tuple(found) for name, found in consumers.items()}
    return GraphView(tuple(layers), inputs, readers, layers, outputs)


def _check_plain_call(operation: Any, nodes: list[Any]) -> None:
    """A layer of its own, called once on one tensor or one list of them, with one tensor out."""
    name = operation.name
    if not isinstance(operation, keras.layers.Layer):
        raise UnsupportedLayerError(
            f"{name} is a bare keras.ops call ({type(operation).__name__}); use a layer, such as keras.layers.Add"
        )
    if isinstance(operation, keras.Model):
        raise UnsupportedLayerError(f"{name} is a model inside the model; call its layers directly, each by its name")
    if len(nodes) != 1:
        raise UnsupportedLayerError(f"layer {name} is called {len(nodes)} times; give each call a layer of its own")
    arguments, outputs = nodes[0].arguments, nodes[0].output_tensors
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


def rebuild(model: keras.Model, emit: Emit, *, name: str | None = None) -> keras.Model:
    """Build a new functional model by calling `emit` once per layer, in order.

    `emit(layer, *inputs)` gets the original layer and the new tensors of its inputs. Positional tensor
    inputs only, which is what `view` accepts; several inputs arrive as separate arguments.
    """
    graph = view(model)
    new_inputs = [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs
    ]
    tensors = dict(zip((t._keras_history.operation.name for t in model.inputs), new_inputs, strict=True))
    for operation_name in graph.order:
        if operation_name not in tensors:
            sources = [tensors[source] for source in graph.inputs[operation_name]]
            tensors[operation_name] = emit(graph.layers[operation_name], *sources)
    outputs = [tensors[output] for output in graph.outputs]
    return keras.Model(
        new_inputs[0] if len(new_inputs) == 1 else new_inputs,
        outputs[0] if len(outputs) == 1 else outputs,
        name=name or model.name,
    )


def copy_layer(layer: Any, **changes: Any) -> Any:
    """A new, unbuilt layer with the same configuration but for `changes`; its weights are not copied."""
    return layer.__class__.from_config({**layer.get_config(), **changes})


def call(layer: Any, *inputs: Any) -> Any:
    """Call a layer on one tensor, or on the list of several."""
    return layer(inputs[0] if len(inputs) == 1 else list(inputs))
