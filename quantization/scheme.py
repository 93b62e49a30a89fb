"""What is quantized to what, as frozen records with names."""

from dataclasses import dataclass

from mobile_seg.errors import choose

WEIGHTS = ("int8", "int8-per-tensor", "float16", "float32")
"""Grids a weight can lie on; the integer ones are symmetric and narrow: -127..127."""


@dataclass(frozen=True)
class Scheme:
    """How weights and activations are stored.

    `weights`: one of `WEIGHTS`; `int8` has one scale per output channel. `activation_bits`: 8 (asymmetric,
    zero exactly representable), 16 (symmetric, zero point 0), or None for float activations. This is
    TFLite's quantization specification.
    """

    name: str
    weights: str
    activation_bits: int | None
    about: str = ""

    @property
    def precision(self) -> str:
        """What an artifact of this scheme is: `int8`, `int16x8`, `w8` or `float16`."""
        if self.activation_bits is None:
            return "w8" if self.weights.startswith("int8") else self.weights
        return "int8" if self.activation_bits == 8 else "int16x8"


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("int8", "int8", 8, about="weights per channel, activations per tensor: CPU, GPU and most NPUs"),
        Scheme("int8-per-tensor", "int8-per-tensor", 8, about="one weight scale per layer, for NPUs without more"),
        Scheme(
            "int16x8",
            "int8",
            16,
            about="16-bit activations on int8 weights: near float accuracy, CPU and Ethos-U",
        ),
        Scheme("w8", "int8", None, about="int8 weights, float activations quantized on the fly by the CPU kernels"),
        Scheme("float16", "float16", None, about="weights stored in half precision: GPU"),
        Scheme("edgetpu", "int8", 8, about="int8 as it is: the Coral Edge TPU takes all of it"),
    )
}
INT8 = SCHEMES["int8"]


def find(name: str) -> Scheme:
    """Return the scheme of that name.

    Raises:
        UsageError: for an unknown name, listing the known ones.
    """
    choose("scheme", name, tuple(SCHEMES))
    return SCHEMES[name]
