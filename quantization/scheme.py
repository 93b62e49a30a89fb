"""What is quantized to what, as frozen records with names."""

from dataclasses import dataclass

from mobile_seg.errors import UsageError


@dataclass(frozen=True)
class Scheme:
    """Integer widths of weights and activations.

    Weights: symmetric, narrow range (-127..127 at 8 bits), one scale per output channel. Activations:
    asymmetric, one scale per tensor, zero exactly representable. This is TFLite's int8 specification.
    """

    name: str
    weight_bits: int
    activation_bits: int


INT8 = Scheme("int8", weight_bits=8, activation_bits=8)
SCHEMES = {scheme.name: scheme for scheme in (INT8,)}


def find(name: str) -> Scheme:
    """Return the scheme of that name.

    Raises:
        UsageError: for an unknown name, listing the known ones.
    """
    if name not in SCHEMES:
        raise UsageError(f"scheme={name!r} is not known; choose from {', '.join(SCHEMES)}.")
    return SCHEMES[name]
