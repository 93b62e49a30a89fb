"""Small files of others' making: what `inspect` is tried on where our own converters would prove nothing."""

import logging
import warnings
from pathlib import Path

import numpy as np

KERNEL = np.linspace(-1, 1, 8 * 3 * 3 * 3, dtype=np.float32).reshape(8, 3, 3, 3)
"""A convolution's weights `[out, in, height, width]`."""

SCALES = np.linspace(0.01, 0.08, 8, dtype=np.float32)


def onnx_model(*, opset: int = 13, quantized: bool = True) -> bytes:
    """Image `[1, 3, N, 16]` → logits, a convolution; quantized as ONNX Runtime's tools do, one scale per channel."""
    from onnx import TensorProto, helper, numpy_helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "rows", 16])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 8, "rows", 16])
    nodes, source, weights = [], "image", "kernel"
    held = [numpy_helper.from_array(KERNEL, "kernel")]
    if quantized:
        held = [
            numpy_helper.from_array((KERNEL * 100).astype(np.int8), "kernel_q"),
            numpy_helper.from_array(SCALES, "kernel_scale"),
            numpy_helper.from_array(np.zeros(8, np.int8), "kernel_zero"),
            numpy_helper.from_array(np.float32(0.02), "image_scale"),
            numpy_helper.from_array(np.uint8(128), "image_zero"),
        ]
        grid = ["image_scale", "image_zero"]
        nodes = [
            helper.make_node("QuantizeLinear", ["image", *grid], ["image_q"]),
            helper.make_node("DequantizeLinear", ["image_q", *grid], ["image_dq"]),
            helper.make_node("DequantizeLinear", ["kernel_q", "kernel_scale", "kernel_zero"], ["kernel"], axis=0),
        ]
        source = "image_dq"
    nodes.append(helper.make_node("Conv", [source, weights], ["hidden"], name="stem", pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("Relu", ["hidden"], ["logits"], name="act"))
    graph = helper.make_graph(nodes, "small", [image], [logits], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, {"task": "segmentation"})
    return bytes(model.SerializeToString())


def core_ml_package(folder: Path) -> Path:
    """Write image `[1, 3, 16, 16]` → a convolution and ReLU, as coremltools saves it (iOS 16, float16)."""
    log = logging.getLogger("coremltools")
    log.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as ct
        from coremltools.converters.mil import Builder as mb

        @mb.program(input_specs=[mb.TensorSpec(shape=(1, 3, 16, 16))], opset_version=ct.target.iOS16)
        def program(image):  # type: ignore[no-untyped-def]
            hidden = mb.conv(x=image, weight=KERNEL, pad_type="same", name="stem")
            return mb.relu(x=hidden, name="logits")

        model = ct.convert(program, minimum_deployment_target=ct.target.iOS16, skip_model_load=True)
        model.author, model.short_description = "somebody", "a convolution"
        model.user_defined_metadata["task"] = "segmentation"
        path = folder / "small.mlpackage"
        model.save(str(path))
    return path


def tflite_model() -> bytes:
    """A converter's file with nothing of ours in it: 1x1 convolution and ReLU6 of an image `[1, 8, 8, 3]`."""
    import tensorflow as tf

    kernel = tf.constant(KERNEL[:, :, :1, :1].transpose(2, 3, 1, 0))

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3], tf.float32, name="pixels")])
    def small(pixels):  # type: ignore[no-untyped-def]
        return tf.nn.relu6(tf.nn.conv2d(pixels, kernel, 1, "SAME"))

    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([small.get_concrete_function()]).convert())
