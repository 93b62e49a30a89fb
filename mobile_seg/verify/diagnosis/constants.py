"""The weights of both sides of a diagnosis: of a file, and of the Keras model that it should hold."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import GraphView, plain, view


def tflite_constants(content: bytes) -> dict[str, np.ndarray]:
    """Return the constants that operators of a `.tflite` file read, by tensor name, as float32 in the file's layout.

    Integers with scales are dequantized; those without (shapes, axes) are left out. `content` has been
    verified: LiteRT has loaded it.
    """
    from ai_edge_litert import schema_py_generated as schema

    types = schema.TensorType
    dtypes = {
        types.FLOAT32: np.float32,
        types.FLOAT16: np.float16,
        types.INT8: np.int8,
        types.UINT8: np.uint8,
        types.INT16: np.int16,
        types.INT32: np.int32,
        types.INT64: np.int64,
    }
    model = schema.Model.GetRootAs(content, 0)
    found: dict[str, np.ndarray] = {}
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in _read(graph):
            tensor = graph.Tensors(index)
            buffer = model.Buffers(tensor.Buffer())
            if not buffer.DataLength() or tensor.Type() not in dtypes:
                continue
            stored = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtypes[tensor.Type()])
            values = _real(stored.reshape([tensor.Shape(axis) for axis in range(tensor.ShapeLength())]), tensor)
            if values is not None:
                name = (tensor.Name() or b"").decode()
                found[name if name not in found else f"{name}#{number}.{index}"] = values
    return found


def onnx_constants(content: bytes) -> dict[str, np.ndarray]:
    """Return the constants that nodes of an `.onnx` file read, by tensor name, as float32 in the file's layout.

    Integers are what a DequantizeLinear makes of them. `content` has been verified: ONNX Runtime has loaded it.
    """
    import onnx

    graph = onnx.load_from_string(content).graph
    held = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    found: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in held:
            integers, scale, zero_point = (held[name].astype(np.float64) for name in node.input)
            axis = next((one.i for one in node.attribute if one.name == "axis"), 1)
            spread = [-1 if place == axis and scale.ndim else 1 for place in range(integers.ndim)]
            values = (integers - zero_point.reshape(spread)) * scale.reshape(spread)
            found[node.output[0]] = values.astype(np.float32)
        elif node.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            found |= {name: held[name] for name in node.input if name in held and held[name].dtype == np.float32}
    return found


def _read(graph: Any) -> list[int]:
    """The tensors that some operator reads: files keep others too, such as a bias before it became integers."""
    operators = (graph.Operators(number) for number in range(graph.OperatorsLength()))
    return sorted({int(index) for one in operators for index in one.InputsAsNumpy() if index >= 0})


def _real(stored: np.ndarray, tensor: Any) -> np.ndarray | None:
    if stored.dtype.kind == "f":
        return stored.astype(np.float32)
    grid = tensor.Quantization()
    if grid is None or not grid.ScaleLength():
        return None
    scale = grid.ScaleAsNumpy().astype(np.float64)
    zero_point = grid.ZeroPointAsNumpy() if grid.ZeroPointLength() else np.zeros(1)
    spread = [1] * stored.ndim
    if len(scale) > 1:
        spread[grid.QuantizedDimension()] = -1
    return ((stored - zero_point.reshape(-1 if len(zero_point) == 1 else spread)) * scale.reshape(spread)).astype(
        np.float32
    )


@dataclass(frozen=True)
class Folded:
    """A linear layer as files store it: normalization folded in. `kind`: conv, depthwise, transposed or dense.

    `kernel` is in Keras' layout, `bias` `[outputs]`, zeros if there is none.
    """

    layer: str
    kind: str
    kernel: np.ndarray
    bias: np.ndarray


def folded_weights(model: Any) -> list[Folded]:
    """Return the linear layers of a Keras model in order, batch normalization behind them folded in.

    Quantization-aware layers fold their own. None of a model that is not made of layers: there is no telling then
    what a file of it holds.
    """
    try:
        graph = view(plain(model))
    except UnsupportedLayerError:
        return []
    found = []
    for name in graph.order:
        layer, kind = graph.layers[name], kind_of_layer(graph.layers[name])
        if kind is None:
            continue
        kernel, bias = layer.folded() if hasattr(layer, "folded") else _folded(graph, layer)
        kernel = np.asarray(kernel)
        outputs = len(_per_output(kernel, kind))
        found.append(Folded(name, kind, kernel, np.zeros(outputs, np.float32) if bias is None else np.asarray(bias)))
    return found


def kind_of_layer(layer: Any) -> str | None:
    """`conv`, `depthwise`, `transposed` or `dense`; None for a layer without a kernel of these kinds."""
    from keras import layers

    kinds = {
        layers.DepthwiseConv2D: "depthwise",
        layers.Conv2DTranspose: "transposed",
        layers.Conv2D: "conv",
        layers.Dense: "dense",
    }
    return next((kind for known, kind in kinds.items() if isinstance(layer, known)), None)


def normalization_behind(graph: GraphView, layer: Any) -> Any | None:
    """The batch normalization that folds into a Keras layer, if one does."""
    from keras import layers

    reader = graph.only_consumer(layer.name)
    behind = None if reader is None else graph.layers[reader]
    folds = type(behind) is layers.BatchNormalization and layer.activation.__name__ == "linear"
    return behind if folds else None


def _folded(graph: GraphView, layer: Any) -> tuple[np.ndarray, np.ndarray | None]:
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias, np.float64) if layer.use_bias else None
    normalization = normalization_behind(graph, layer)
    if normalization is None:
        return kernel, bias
    factor = 1.0 / np.sqrt(np.asarray(normalization.moving_variance, np.float64) + normalization.epsilon)
    if normalization.scale:
        factor = factor * np.asarray(normalization.gamma)
    shift = (0.0 if bias is None else bias) - np.asarray(normalization.moving_mean, np.float64)
    shift = shift * factor + (np.asarray(normalization.beta) if normalization.center else 0.0)
    kind = kind_of_layer(layer)
    if kind == "depthwise":
        return kernel * factor.reshape(kernel.shape[2:]), shift
    return kernel * (factor[:, None] if kind == "transposed" else factor), shift


def _per_output(kernel: np.ndarray, kind: str) -> np.ndarray:
    """`[outputs, ...]`: the weights of each output channel."""
    if kind == "depthwise":
        return kernel.reshape(*kernel.shape[:2], -1).transpose(2, 0, 1)
    return np.moveaxis(kernel, -2 if kind == "transposed" else -1, 0)
