"""How far a TFLite file may lie from the quantization-aware graph it was made from, derived layer by layer.

`error_bounds` carries an upper bound of |file - graph| through the graph, from the image, whose bytes are
the same on both sides. **A bound of 0 means equal to the bit**, which is what a settled model promises
where all its layers have exact kernels. Where e is the error of the input (the worst of several):

- **Quantizer.** A tensor that is equal on both sides stays equal. Otherwise both are rounded to one grid:
  |round(a) - round(b)| < |a - b| + 1 step. So each kernel below that rounds as it likes costs one step here,
  and what it costs beyond that is what its own line says.
- **Convolution, dense.** The input's error times the largest sum of |weights| over the output channels (each
  output reads each weight at most once, transposed convolution included). Settled: nothing else. Not settled: the bias
  is rounded in the file only, by half of input step x weight step, and float32 sums differ in their last bits.
- **Sum, difference.** Errors add. **Product.** |a'b' - ab| <= |a| e_b + (|b| + e_b) e_a. Settled: nothing else.
- **Concatenation.** The worst branch. A branch that has another range is moved to the joined one first, and
  XNNPACK multiplies by a ratio of 8 fractional bits: 255 integers times 1/512 is half a step. A ReLU that no
  kernel could fuse moves its input in the same way.
- **Clamps and copies.** Nothing. (Nearest upsampling, and bilinear from one pixel, are copies.)
- **Average pooling.** Nothing: the quantizer behind it rounds ties as the kernel does.
- **Constant factor.** |factor| e; only rounding is left.
- **Bilinear upsampling.** Its four weights have 10 fractional bits or more: 4 x 255 / 2048 of a step.
- **Activations.** Their largest slope: sigmoid 1/4, tanh 1, softmax 1/2 (largest entry of its Jacobian's row
  sums, 2p(1-p)), hard-swish 3/2. The 8-bit kernels look the rounded float function up, but for hard-swish, which
  works in 16-bit fixed point, less than a step off at either of two inputs; settled, the graph has its numbers.

Sixteen bits: kernels multiply by ratios of 16 bits and may round thrice: 2 steps of the 16-bit grid each, an
8-bit input put on such a grid half a step more. Sigmoid and tanh interpolate in a table of 256 entries: h²/8
times the curvature is below 2 steps, as are its ends; counted as 8. Softmax interpolates exp in 512 parts of 10,
again below 2 steps, rounded and cut off below 4, in the sum once for each channel. A bilinear resize steps through
its input by a ratio of 10 fractional bits: at the far end it has drifted, times the largest difference of neighbours.

Float activations: float32's last bits; half precision rounds what the graph keeps in float32 (biases, constants)
by 2^-11. `w8` kernels quantize the activations on the fly, to a step of at most 1/127 of the largest value.
"""

from typing import Any

import keras
import numpy as np
from keras import layers

from mobile_seg.graph import GraphView, view
from mobile_seg.quantization.arithmetic import QuantAdd, QuantMean, QuantMultiply, QuantResize, QuantSubtract
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.linear import QuantLinear
from mobile_seg.quantization.rules import RESIZING_LAYERS, is_averaging, is_fused_activation, is_pass_through
from mobile_seg.quantization.settle import quantizer_of

FLOAT32 = 2e-6
"""Relative error of float32 sums of some hundred terms."""

SLOPES = {"sigmoid": 0.25, "tanh": 1.0, "softmax": 0.5, "hard_silu": 1.5}
WIDE_KERNEL, WIDE_TABLE = 2.0, 8.0
"""Steps of 16 bits that a kernel, or one that looks its function up, may be off."""


def error_bounds(quantized: keras.Model, pixels: np.ndarray, *, scheme: str = "int8") -> list[float]:
    """The most by which each output of the file may differ from that of `quantized` on these images, in real units."""
    walk = _Walk(quantized, pixels, scheme)
    for name in walk.graph.order:
        walk.error[name] = walk.bound(name)
    return [walk.error[output] for output in walk.graph.outputs]


class _Walk:
    """One pass through a graph: `error` is the bound, `reach` the largest magnitude of each layer's output."""

    def __init__(self, quantized: keras.Model, pixels: np.ndarray, scheme: str) -> None:
        self.graph: GraphView = view(quantized)
        self.scheme = scheme
        self.error: dict[str, float] = {}
        whole = keras.Model(quantized.input, [self.graph.layers[name].output for name in self.graph.order])
        values = whole(pixels.astype(np.float32), training=False)
        self.reach = {
            name: float(np.abs(np.asarray(value)).max()) for name, value in zip(self.graph.order, values, strict=True)
        }

    def bound(self, name: str) -> float:
        """The error of a layer's output, from those of its inputs."""
        layer = self.graph.layers[name]
        errors = [self.error[source] + self._widening(name, source) for source in self.graph.inputs[name]]
        if isinstance(layer, FakeQuant):
            before = errors[0] + (layer.step / 2 if self._moved(name) else 0.0)
            return before + layer.step if before else 0.0
        if is_pass_through(layer) and not is_averaging(layer):
            return errors[0]
        if isinstance(layer, layers.InputLayer) or self._is_image(name):
            return 0.0
        propagated, exact = self._propagated(layer, name, errors)
        return propagated if exact else propagated + self._kernel(layer, name)

    def _propagated(self, layer: Any, name: str, errors: list[float]) -> tuple[float, bool]:
        """What the inputs' errors become, and whether the kernel computes just what the layer does."""
        if isinstance(layer, QuantLinear):
            settled = layer.has_steps and float(layer.output_step) > 0.0
            return self._gain(layer) * errors[0], settled
        if isinstance(layer, QuantMultiply):
            one, other = (self.reach[source] for source in self.graph.inputs[name])
            return one * errors[1] + (other + errors[1]) * errors[0], bool(layer.steps[-1] > 0.0)
        if isinstance(layer, (QuantAdd, QuantSubtract)):
            return sum(errors), bool(layer.steps[-1] > 0.0)
        if isinstance(layer, layers.Concatenate):
            return max(errors), True
        if isinstance(layer, layers.Rescaling):
            return abs(float(layer.scale)) * errors[0], False
        if is_fused_activation(layer):
            return errors[0], True
        if isinstance(layer, (layers.Activation, layers.Softmax)):
            kind = layer.activation.__name__ if isinstance(layer, layers.Activation) else "softmax"
            return SLOPES[kind] * errors[0], False
        if isinstance(layer, layers.AveragePooling2D):
            return errors[0], self._bits(name) == 8 and not errors[0]
        if isinstance(layer, (QuantMean, QuantResize)):
            return errors[0], bool(layer.steps[-1] > 0.0) and not errors[0]
        known = (layers.GlobalAveragePooling2D, *RESIZING_LAYERS)
        assert isinstance(layer, known), f"no bound for {type(layer).__name__}"
        return errors[0], False

    def _kernel(self, layer: Any, name: str) -> float:
        """What a kernel may be off beyond the rounding that the quantizer behind it counts."""
        sources = self.graph.inputs[name]
        largest = max(self.reach[name], *(self.reach[source] for source in sources))
        own = (2.0**-11 if self.scheme == "float16" else FLOAT32) * largest
        behind = self._behind(name)
        if isinstance(layer, QuantLinear):
            own = self._gain(layer) * FLOAT32 * largest + self._bias(layer, name)
            if self.scheme == "w8":
                own += self._gain(layer) * (self.reach[sources[0]] + self.error[sources[0]]) / 127
        if isinstance(layer, RESIZING_LAYERS):
            own += 4 * 255 / 2048 * _step(behind)
        if self._bits(name) == 16:
            own += _shift(layer) * 2 * largest
            steps = WIDE_KERNEL
            if isinstance(layer, (layers.Activation, layers.Softmax)):
                soft = isinstance(layer, layers.Softmax) or layer.activation.__name__ == "softmax"
                steps = WIDE_TABLE + (4.0 * layer.output.shape[-1] if soft else 0.0)
            own += steps * _wide_step(behind)
        return own

    def _bias(self, layer: Any, name: str) -> float:
        """Rounding of the bias in the file alone."""
        _, bias = layer.quantized()
        if bias is None:
            return 0.0
        if self.scheme == "float16":
            return float(np.abs(np.asarray(bias)).max()) * 2.0**-11
        before = quantizer_of(self.graph, self.graph.only_input(name))
        return _step(before) * float(layer.weight_steps().max()) / 2 if layer.has_steps and before else 0.0

    def _gain(self, layer: Any) -> float:
        """The largest sum of |weights| over the output channels."""
        kernel = np.abs(np.asarray(layer.quantized()[0]))
        rank = kernel.ndim
        return float(kernel.sum(tuple(axis for axis in range(rank) if axis - rank not in layer.channel_axes)).max())

    def _moved(self, name: str) -> bool:
        """Whether a quantizer gives a tensor, or a part of it, another grid than the one it has."""
        source = self.graph.only_input(name)
        layer = self.graph.layers[source]
        if isinstance(layer, layers.Concatenate) or is_fused_activation(layer):
            return any(self._has_grid(each) for each in self.graph.inputs[source])
        return False

    def _has_grid(self, name: str) -> bool:
        """Whether a tensor lies on a grid of its own, joins inside joins included."""
        while is_pass_through(self.graph.layers[name]):
            name = self.graph.only_input(name)
        layer = self.graph.layers[name]
        if isinstance(layer, layers.Concatenate):
            return any(self._has_grid(source) for source in self.graph.inputs[name])
        return isinstance(layer, FakeQuant)

    def _is_image(self, name: str) -> bool:
        """The input's Rescaling: its result lies on the bytes' grid."""
        layer, sources = self.graph.layers[name], self.graph.inputs[name]
        return isinstance(layer, layers.Rescaling) and isinstance(self.graph.layers[sources[0]], layers.InputLayer)

    def _bits(self, name: str) -> int:
        """The width that a kernel runs in: the widest of what it reads and writes."""
        found = [quantizer_of(self.graph, source) for source in self.graph.inputs[name]]
        return max((one.bits for one in (*found, self._behind(name)) if one is not None), default=8)

    def _widening(self, name: str, source: str) -> float:
        """An 8-bit input of a 16-bit kernel, put on a grid of 16 bits."""
        layer, quantizer = self.graph.layers[name], quantizer_of(self.graph, source)
        if isinstance(layer, FakeQuant) or is_pass_through(layer) or quantizer is None or quantizer.bits == 16:
            return 0.0
        return _wide_step(quantizer) / 2 if self._bits(name) == 16 else 0.0

    def _behind(self, name: str) -> FakeQuant | None:
        """The next quantizer that a tensor goes through."""
        while (reader := self.graph.only_consumer(name)) is not None:
            if isinstance(self.graph.layers[reader], FakeQuant):
                return self.graph.layers[reader]
            name = reader
        return None


def _shift(layer: Any) -> float:
    """By how many pixels a resize of 16 bits may miss, whose ratio of sizes has 10 fractional bits."""
    if not isinstance(layer, RESIZING_LAYERS):
        return 0.0
    sizes = zip(layer.input.shape[1:3], layer.output.shape[1:3], strict=True)
    return sum(out * abs(1024 * before / out - round(1024 * before / out)) / 1024 for before, out in sizes)


def _step(quantizer: FakeQuant | None) -> float:
    return 0.0 if quantizer is None else quantizer.step


def _wide_step(quantizer: FakeQuant | None) -> float:
    """The step of a quantizer's range in 16 bits."""
    return 0.0 if quantizer is None else max(map(abs, quantizer.get_range())) / 32767
