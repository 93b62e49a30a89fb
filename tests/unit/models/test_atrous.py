"""Strides traded for dilation, written down by hand for each output stride."""

import pytest

from mobile_seg.models.atrous import atrous_steps

STRIDES = (1, 2, 1, 2, 1, 1)


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations", "reached", "plain"),
    [
        (32, (1, 2, 1, 2, 1, 1), (1, 1, 1, 1, 1, 1), (8, 16, 16, 32, 32, 32), 6),
        (16, (1, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 2), (8, 16, 16, 16, 16, 16), 3),
        (8, (1, 1, 1, 1, 1, 1), (1, 1, 2, 2, 4, 4), (8, 8, 8, 8, 8, 8), 1),
    ],
)
def test_a_block_that_gives_up_its_stride_dilates_those_behind_it(
    output_stride: int, strides: tuple[int, ...], dilations: tuple[int, ...], reached: tuple[int, ...], plain: int
) -> None:
    steps = atrous_steps(STRIDES, reached=8, output_stride=output_stride)
    assert tuple(step.stride for step in steps) == strides
    assert tuple(step.dilation for step in steps) == dilations
    assert tuple(step.reached for step in steps) == reached
    assert [step.plain for step in steps] == [index < plain for index in range(6)]
