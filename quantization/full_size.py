"""The form of a segmentation model that answers at its input's size."""

import keras

from mobile_seg.graph import view
from mobile_seg.layers import Resize
from mobile_seg.quantization.arithmetic import QuantResize
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.rewrite import is_quantized
from mobile_seg.quantization.settle import quantizer_of, tell_steps

NAME = "full_size"


def at_input_size(model: keras.Model) -> keras.Model:
    """Return the model with its logits `[N, h, w, C]` resized bilinearly to `[N, H, W, C]`, its input's size.

    Where they are integers, they stay so: a settled model rounds as the kernel does. The layers are shared with
    the model given, which is returned as it is if it answers at that size.
    """
    size = tuple(model.input_shape[1:3])
    if tuple(model.output_shape[1:3]) == size:
        return model
    quantizer = None
    if is_quantized(model):
        graph = view(model)
        quantizer = quantizer_of(graph, graph.outputs[0])
    if quantizer is None:
        return keras.Model(model.input, Resize(size, name=NAME)(model.output), name=model.name)
    resized = QuantResize(size, name=NAME, dtype="float32")(model.output)
    follows = quantizer.follows or quantizer.name
    same_grid = FakeQuant(bits=quantizer.bits, follows=follows, name=f"{NAME}_quant", dtype="float32")
    made = keras.Model(model.input, same_grid(resized), name=model.name)
    # Not settled anew: the ranges are those of the model given, whose layers these are.
    tell_steps(made)
    return made
