"""The same network in `tf_keras`, legacy Keras, which is the only one that TF-MOT quantizes.

The one place that brings in the optional extra `tfmot`; nothing of it is imported before it is called for.
"""

import importlib
import importlib.util
import os
import warnings
from typing import Any

import keras
import numpy as np
from keras import layers

from mobile_seg.errors import MissingExtraError, ParityError, UnsupportedLayerError
from mobile_seg.graph import GraphView, view

_CONV = ("kernel_size", "strides", "padding", "data_format", "dilation_rate", "use_bias")
_POOL = ("pool_size", "strides", "padding", "data_format")

KEPT: dict[type, tuple[str, ...]] = {
    layers.Activation: (),
    layers.Add: (),
    layers.AveragePooling2D: _POOL,
    layers.BatchNormalization: ("axis", "momentum", "epsilon", "center", "scale"),
    layers.Concatenate: ("axis",),
    layers.Conv2D: ("filters", "groups", *_CONV),
    layers.Conv2DTranspose: ("filters", "output_padding", *_CONV),
    layers.Dense: ("units", "use_bias"),
    layers.DepthwiseConv2D: ("depth_multiplier", *_CONV),
    layers.Dropout: ("rate", "noise_shape"),
    layers.Flatten: ("data_format",),
    layers.GlobalAveragePooling2D: ("data_format", "keepdims"),
    layers.MaxPooling2D: _POOL,
    layers.Multiply: (),
    layers.ReLU: ("max_value", "negative_slope", "threshold"),
    layers.Rescaling: ("scale", "offset"),
    layers.Reshape: ("target_shape",),
    layers.SpatialDropout2D: ("rate", "data_format"),
    layers.UpSampling2D: ("size", "data_format", "interpolation"),
    layers.ZeroPadding2D: ("padding", "data_format"),
}
"""Exact layer type → the settings that make its namesake in `tf_keras` compute the same. Initializers do not:
the weights are copied. The activation is looked up in `ACTIVATIONS`."""

ACTIVATIONS = {
    "linear": "linear",
    "relu": "relu",
    "relu6": None,
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "tanh": "tanh",
}
"""Keras 3 name → legacy name of the same function; None: a ReLU layer of its own. `hard_sigmoid` is not here:
it is relu6(x + 3) / 6 in Keras 3 and 0.2 x + 0.5, clipped, in legacy Keras."""

TOLERANCE = 1e-3
"""Largest difference between twin and original, as a share of the largest output. Both compute the same float32
sums in another order: hundreds of layers of rounding at 6e-8 stay below 1e-4; a wrong stride or a missed weight is
of the outputs' own size."""


def load_extra() -> tuple[Any, Any]:
    """Import (`tf_keras`, `tensorflow_model_optimization`) beside Keras 3, without turning `tf.keras` legacy.

    TF-MOT sets TF_USE_LEGACY_KERAS for the process and all that it starts. Which Keras `tf.keras` means is
    settled when it is first touched: here, before.

    Raises:
        MissingExtraError: if either is not installed.
    """
    for package in ("tf_keras", "tensorflow_model_optimization"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(
                f'the TF-MOT engine needs {package}; install it with: pip install "mobile-seg[tfmot]"'
            )
    import tensorflow as tf

    before = os.environ.get("TF_USE_LEGACY_KERAS")
    tf.keras.version()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TF-MOT compares versions with distutils
            import tensorflow_model_optimization as tfmot
            import tf_keras
    finally:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        if before is not None:
            os.environ["TF_USE_LEGACY_KERAS"] = before
    return tf_keras, tfmot


def leading_rescaling(model: keras.Model) -> tuple[float, float] | None:
    """(scale, offset) of the Rescaling that the image goes through first, or None.

    Raises:
        UnsupportedLayerError: as `mobile_seg.graph.view`.
    """
    layer = _leading(view(model))
    return None if layer is None else (float(layer.scale), float(layer.offset))


def rebuild_in_tf_keras(model: keras.Model, *, strip_rescaling: bool = False) -> Any:
    """Build the same functional model in `tf_keras`: same wiring, layer names, settings and weights, in float32.

    With `strip_rescaling` the Rescaling at the image is left out; the twin then takes the normalized image.
    An activation inside a layer that legacy Keras has no name for (relu6) becomes a layer behind it.

    Raises:
        UnsupportedLayerError: for a layer, an activation, a regularizer or a constraint that has no counterpart.
        MissingExtraError: if the extra is not installed.
    """
    tf_keras, _ = load_extra()
    graph = view(model)
    stripped = _leading(graph) if strip_rescaling else None
    tensors: dict[str, Any] = {}
    for name in graph.order:
        layer, sources = graph.layers[name], [tensors[source] for source in graph.inputs[name]]
        if layer is stripped:
            tensors[name] = sources[0]
        elif type(layer) is layers.InputLayer:
            batch, *shape = layer.batch_shape
            tensors[name] = tf_keras.Input(tuple(shape), batch_size=batch, name=name, dtype=layer.dtype)
        else:
            tensors[name] = _twin_of(tf_keras, layer, sources)
    inputs = [tensors[tensor._keras_history.operation.name] for tensor in model.inputs]
    return tf_keras.Model(_one_or_all(inputs), _one_or_all([tensors[name] for name in graph.outputs]), name=model.name)


def check_twin(model: keras.Model, twin: Any, images: np.ndarray, normalized: np.ndarray) -> float:
    """Return the largest difference between both models' outputs as a share of the largest output.

    Args:
        images: `[N, H, W, 3]` as `model` takes them; `normalized`: the same as `twin` does.

    Raises:
        ParityError: if it exceeds `TOLERANCE`.
    """
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    found = np.asarray(twin(normalized, training=False))
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    if not difference <= TOLERANCE:  # false for NaN too
        raise ParityError(
            f"{model.name} and its tf_keras twin differ by {difference:.2g} of the largest output, at most "
            f"{TOLERANCE:g} is rounding; quantize it with the built-in engine instead"
        )
    return difference


def _leading(graph: GraphView) -> Any | None:
    """The Rescaling by one scale and offset that is the only reader of the only input."""
    inputs = [name for name in graph.order if type(graph.layers[name]) is layers.InputLayer]
    first = graph.only_consumer(inputs[0]) if len(inputs) == 1 else None
    layer = graph.layers[first] if first else None
    if layer is None or type(layer) is not layers.Rescaling:
        return None
    return layer if np.ndim(layer.scale) == np.ndim(layer.offset) == 0 else None


def _twin_of(tf_keras: Any, layer: Any, sources: list[Any]) -> Any:
    """Call the layer's counterpart, weights included, and return its output tensor."""
    if type(layer) not in KEPT:
        raise UnsupportedLayerError(
            f"layer {layer.name} ({type(layer).__name__}) has no counterpart in the TF-MOT engine; build it from "
            f"{', '.join(sorted(kind.__name__ for kind in KEPT))}, or quantize with the built-in engine"
        )
    config = layer.get_config()
    extra = [key for key, value in config.items() if key.endswith(("_regularizer", "_constraint")) and value]
    if extra:
        raise UnsupportedLayerError(
            f"layer {layer.name} has a {extra[0]}, which the TF-MOT engine would drop; build it without"
        )
    settings = {key: config[key] for key in KEPT[type(layer)]}
    function = _activation(layer.name, config.get("activation", "linear"))
    if type(layer) is layers.Activation:
        made = _activation_layer(tf_keras, function, layer.name)
        return made(_one_or_all(sources))
    if "activation" in config and function is not None:
        settings["activation"] = function
    made = getattr(tf_keras.layers, type(layer).__name__)(**settings, name=layer.name, trainable=layer.trainable)
    output = made(_one_or_all(sources))
    made.set_weights(layer.get_weights())
    return output if function is not None else _activation_layer(tf_keras, None, f"{layer.name}_act")(output)


def _activation(layer: str, name: Any) -> str | None:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UnsupportedLayerError(
            f"layer {layer} has the activation {name!r}, which legacy Keras lacks or defines otherwise; use one of "
            f"{', '.join(ACTIVATIONS)}, or quantize with the built-in engine"
        )
    return ACTIVATIONS[name]


def _activation_layer(tf_keras: Any, function: str | None, name: str) -> Any:
    if function is None:
        return tf_keras.layers.ReLU(6.0, name=name)
    return tf_keras.layers.Activation(function, name=name)


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values
