"""Grids on which no sum of two tensors falls half-way between two steps of its output.

Runtimes add integers differently: XNNPACK and TFLite in fixed point, ONNX Runtime in floats on x86 and in fixed point
on ARM, halves up or to even. All round the same true sum `(a·sₐ + b·s_b) / s`, and all are right to 1/4096 of a
step. So they part only on sums that lie so near to the middle of two steps, and a deep network makes much of
each (decision 0008). Here the steps are chosen so that there are no such sums (decision 0016).

Let every step be an odd number times a power of two, `s = m·2^e`. If the output's power is no larger than those of
both inputs, `2·(a·sₐ + b·s_b)` is an even multiple of `2^e` and `(2n + 1)·s` an odd one: they are never equal, and lie
at least `2^e` apart, `1/(2m)` of a step of the output. The mantissas are kept short, so that this is a wide margin.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mobile_seg.quantization.fake_quant import RANGE_FLOOR, FakeQuant

BITS, FEWEST = 7, 3
"""Of the mantissa of what is added: a range ends at most 1/64 sooner. That of a branch which adds little to what it is
added to, and is read by nothing else, may have fewer: it ends a quarter of the sum's step sooner."""

OUTPUT_BITS = 8
"""At least so many for the sum, whose mantissa is odd."""

LONGEST = 11
"""A sum's mantissa has no more: XNNPACK's multipliers, of 21 bits, are off by less than 1/4096 of its step."""


@dataclass(frozen=True)
class Sum:
    """The quantizers around a sum or difference of two tensors, those whose grid others follow.

    `alone`: which inputs are read by the sum and nothing else.
    """

    inputs: tuple[FakeQuant, FakeQuant]
    output: FakeQuant
    alone: tuple[bool, bool] = (True, True)

    @property
    def has_no_tie(self) -> bool:
        """Whether no two integers of the inputs add up to the middle of two steps, for the reason above."""
        power, powers = _power(self.output.step), [_power(quantizer.step) for quantizer in self.inputs]
        return power <= min(powers) and self.output.step < 2.0 ** (power + LONGEST)


def part_from_ties(sums: Sequence[Sum]) -> None:
    """Shorten the steps around sums, given in the graph's order.

    Ranges end a little sooner, never later: where a range ends, its tensor may be clamped. Grids that a kernel
    prescribes, and those of tensors that are always zero, stay as they are; of a sum beside whose steps those of
    an input are very much finer, ties are left.
    """
    done: set[str] = set()
    for index, one in enumerate(sums):
        for source, alone in zip(one.inputs, one.alone, strict=True):
            if source.name not in done and _is_free(source):
                bits = _bits(source.step, one.output.step) if alone else BITS
                _set_step(source, _shortened(source.step, bits))
            done.add(source.name)
        output = one.output
        if output.name in done or any(later.output is output for later in sums[index + 1 :]):
            continue
        done.add(output.name)
        inputs = [source for other in sums if other.output is output for source in other.inputs]
        if _is_free(output):
            _set_step(output, _odd(output.step, min(_power(quantizer.step) for quantizer in inputs)))


def _is_free(quantizer: FakeQuant) -> bool:
    return quantizer.observes and quantizer.get_range()[1] > 2.0 * RANGE_FLOOR


def _set_step(quantizer: FakeQuant, step: float) -> None:
    zero_point = quantizer.zero_point
    quantizer.set_range(-zero_point * step, (255 - zero_point) * step)


def _power(step: float) -> int:
    """`e` of a step written as an odd number times `2^e`."""
    numerator, denominator = step.as_integer_ratio()
    return (numerator & -numerator).bit_length() - denominator.bit_length()


def _bits(step: float, output: float) -> int:
    """How many bits an input's mantissa may have for the sum's to stay short."""
    left = LONGEST - (math.floor(math.log2(output)) - math.floor(math.log2(step)))
    return min(BITS, left) if left >= FEWEST else BITS


def _shortened(step: float, bits: int) -> float:
    """The next step down whose mantissa has so many bits."""
    unit = 2.0 ** (math.floor(math.log2(step)) - bits + 1)
    return math.floor(step / unit) * unit


def _odd(step: float, power: int) -> float:
    """The next step down that is an odd number times `2^power`, of as many bits as that number may have."""
    first = math.floor(math.log2(step))
    unit = 2.0 ** min(max(power, first - LONGEST + 1), first - OUTPUT_BITS + 1)
    if math.frexp(step // unit)[0] == 0.5:
        unit /= 2  # the odd number below has a bit less, and would be another one a second time
    count = step // unit
    return (count - (count + 1) % 2) * unit
