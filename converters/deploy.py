"""The deploy graph: what every target converts, with layers replaced by what runtimes read best."""

from typing import Any

import keras
import numpy as np

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.graph import Emit, call, copy_layer, copy_weights, plain, rebuild, view
from mobile_seg.layers import Resize, SpaceToDepth

_ONLY_IN_TRAINING = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.GaussianNoise)


@keras.saving.register_keras_serializable(package="mobile_seg")
class BlocksToChannels(SpaceToDepth):
    """`SpaceToDepth` by TensorFlow, which becomes one SPACE_TO_DEPTH instead of three layout changes."""

    def call(self, x: Any) -> Any:
        """`[N, H, W, C]` → `[N, H/b, W/b, C·b²]`."""
        import tensorflow as tf

        return tf.nn.space_to_depth(x, self.block_size)


def in_float32(layer: Any, *inputs: Any) -> Any:
    """The layer again, or a copy in float32 if it computes in less."""
    if layer.dtype_policy.name == "float32":
        return call(layer, *inputs)
    copy = copy_layer(layer, dtype="float32")
    output = call(copy, *inputs)
    copy_weights(layer, copy)
    return output


def normalized(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset per channel of a batch normalization, in double precision."""
    mean, variance = (
        keras.ops.convert_to_numpy(one).astype(np.float64) for one in (layer.moving_mean, layer.moving_variance)
    )
    factor = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        factor = factor * keras.ops.convert_to_numpy(layer.gamma)
    shift = -mean * factor
    return factor, shift + keras.ops.convert_to_numpy(layer.beta) if layer.center else shift


def deploy_graph(
    model: keras.Model, *, strip_rescaling: bool, wide: bool = False, written: Emit = in_float32
) -> keras.Model:
    """Return `model` for inference: training-only layers gone, upsampling as resize operations.

    Layers that are still there are the model's own, their weights too; it is to be converted, not to be trained.

    With `strip_rescaling` a leading Rescaling is left out: the input is then the normalized image, whose
    integer form is the camera's bytes. It computes in float32 whatever precision it was trained in.

    `wide` activations have 16 bits, for which there is no SPACE_TO_DEPTH. `written` makes the layers that no runtime
    asks to be another.

    Raises:
        UnsupportedLayerError: for an upsampling that runtimes have no resize operation for.
    """
    model = plain(model)
    graph = view(model)
    shared_inputs = {tensor._keras_history.operation.name for tensor in model.inputs}

    def emit(layer: Any, *inputs: Any) -> Any:
        if isinstance(layer, _ONLY_IN_TRAINING):
            return inputs[0]
        first = set(graph.inputs[layer.name]) <= shared_inputs
        if strip_rescaling and first and isinstance(layer, keras.layers.Rescaling):
            return inputs[0]
        if isinstance(layer, (keras.layers.UpSampling2D, keras.layers.Resizing, Resize)):
            return _resize(layer)(*inputs)
        if type(layer) is SpaceToDepth and not wide:
            return BlocksToChannels.from_config(layer.get_config())(*inputs)
        return written(layer, *inputs)

    return rebuild(model, emit)


def _resize(layer: Any) -> Resize:
    if not Resize.stands_for(layer):
        raise UnsupportedLayerError(
            f"layer {layer.name} upsamples by {layer.interpolation}, {layer.data_format}; runtimes resize by nearest "
            "or bilinear with channels last, without cropping or antialiasing: build it so"
        )
    height, width = layer.output.shape[1:3]
    # From one pixel both kinds copy it; XNNPACK runs the bilinear one.
    from_one_pixel = tuple(layer.input.shape[1:3]) == (1, 1)
    kind = "bilinear" if from_one_pixel else layer.interpolation
    return Resize((height, width), kind, name=layer.name)
