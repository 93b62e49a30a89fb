"""From a quantized Keras model to a TFLite file, without dataset, manifest or folder."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def to_tflite(model: "keras.Model", *, io: str = "int8") -> bytes:
    """Return the `.tflite` file of a model that `mobile_seg.quantization.quantize` made, trained on or not.

    The model is settled first: ranges, steps and biases become what the integer kernels use, so that its
    inference and the file's give the same numbers.

    Args:
        model: functional, its inputs of known size; the file takes one sample at a time.
        io: `int8`: integers at both ends (16 bits where the model has them), images as their bytes minus
            128 if the model starts with a Rescaling of them; `uint8`: the bytes themselves; `float`.

    Raises:
        UsageError: for a model that is not quantized or whose size is open, or on a backend other than TensorFlow.
        ArtifactError: if TensorFlow's converter fails, with its reason.
    """
    from mobile_seg.converters.tflite import convert_graph
    from mobile_seg.quantization.deploy import deploy_graph
    from mobile_seg.quantization.rewrite import is_quantized
    from mobile_seg.quantization.settle import settle

    if is_quantized(model):
        settle(model)
    return convert_graph(deploy_graph(model), precision=_precision(model), io=io).content


def _precision(model: "keras.Model") -> str:
    """What the file is, from what the model's layers hold."""
    from mobile_seg.quantization.fake_quant import FakeQuant
    from mobile_seg.quantization.linear import QuantLinear

    bits = {layer.bits for layer in model.layers if isinstance(layer, FakeQuant) and layer.observes}
    if bits:
        return "int8" if 8 in bits else "int16x8"
    grids = {layer.weights_grid for layer in model.layers if isinstance(layer, QuantLinear)}
    return "w8" if any(grid.startswith("int8") for grid in grids) else "float16"
