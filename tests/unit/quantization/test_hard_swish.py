"""The int8 hard-swish kernel, byte by byte, as LiteRT runs it."""

from typing import Any

import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import compare, net, randomize

from mobile_seg.quantization.hard_swish import kernel_table


@pytest.mark.parametrize("seed", range(4))
def test_a_settled_model_gives_what_the_kernel_gives(seed: int) -> None:
    def body(x: Any) -> Any:
        return layers.Activation("hard_silu")(layers.Conv2D(8, 3, padding="same")(x))

    model = net(body, size=(24, 24))
    randomize(model, seed)
    found = compare(model)
    assert found.facts.float_ops == 0
    assert found.steps[0].max() == 0


@pytest.mark.parametrize(("step", "zero_point"), [(0.02, 128), (0.05, 0), (0.1, 60), (0.004, 200)])
def test_the_table_is_hard_swish_to_two_steps(step: float, zero_point: int) -> None:
    x = (np.arange(256) - zero_point) * step
    exact = x * np.clip(x + 3.0, 0.0, 6.0) / 6.0
    low, high = min(exact.min(), 0.0), exact.max()
    output_step = (high - low) / 255
    output_zero_point = round(-low / output_step)
    made = kernel_table(step, zero_point, output_step, output_zero_point)
    assert np.abs(made - exact).max() <= 2 * output_step
