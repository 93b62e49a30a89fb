"""The roofline section: every point where its numbers put it, every name escaped, nothing drawn without a cause."""

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from mobile_seg.profiling.delegates.check import Check
from mobile_seg.profiling.operations.costs import Cost
from mobile_seg.profiling.operations.peaks import Peaks
from mobile_seg.profiling.operations.records import OperationProfile, OperationTime
from mobile_seg.profiling.operations.roofline import Roofline, roofline
from mobile_seg.report.page import Example, render
from mobile_seg.report.results import Results
from mobile_seg.report.roofline import plot, section

PEAKS = Peaks("a <CPU>", "LiteRT 2", 2, (("int8", "1x1", 50.0), ("float32", "3x3", 25.0)), ((1024, 10.0), (4096, 5.0)))


def operation(layer: str, part: str, milliseconds: float, cost: Cost) -> OperationTime:
    return OperationTime(0, "CONV_2D", layer, layer, part, True, ("Kernel (NC)",), milliseconds, cost)


def found(*operations: OperationTime) -> Roofline:
    profile = OperationProfile(
        "net.tflite", "0" * 64, "a <CPU>", "LiteRT 2", "delegate", 2, 1, 9, 10.0, 11.0, operations
    )
    return roofline(profile, PEAKS)


# 100 multiply-adds per byte, 10 per nanosecond.
CONVOLUTION = operation("b07_<conv>", "backbone", 1.0, Cost(10_000_000, 50_000, 0, 50_000, "int8"))
RESIZE = operation("ResizeBilinear", "resize", 4.0, Cost(0, 500, 0, 500, "int8"))
OTHER = operation("conv2d", "MobilenetV2", 0.5, Cost(1_000_000, 500_000, 0, 500_000, "int8"))


def circles(markup: str) -> list[tuple[str, float, float]]:
    drawn = re.findall(r'<circle class="([\w-]+)" cx="([\d.]+)%" cy="([\d.]+)%"', markup)
    return [(kind, float(x), float(y)) for kind, x, y in drawn]


def test_points_stand_where_their_numbers_put_them() -> None:
    """x spans 1 to 1000 multiply-adds per byte, y 1 to 100 G per second, both by decades."""
    assert circles(plot(found(CONVOLUTION, OTHER))) == [
        ("part-backbone", pytest.approx(200 / 3, abs=0.001), pytest.approx(50.0)),
        ("part-other", pytest.approx(0.0), pytest.approx(100 * (1 - math.log10(2) / 2), abs=0.001)),
    ]


def test_roofs_of_the_arithmetic_that_occurs() -> None:
    """int8 alone: two bandwidths up to their ridges, 5 and 10 multiply-adds per byte, and flat at 50 G beyond."""
    markup = plot(found(CONVOLUTION, OTHER))
    roofs = re.findall(r'class="roof" x1="([\d.]+)%" y1="([\d.]+)%" x2="([\d.]+)%" y2="([\d.]+)%"', markup)
    ends = [tuple(float(value) for value in roof) for roof in roofs]
    at = 100 * (2 - math.log10(50)) / 2
    expected = [
        (0.0, 100 * (2 - math.log10(5)) / 2, 100 / 3, at),
        (0.0, 50.0, 100 * math.log10(5) / 3, at),
        (100 * math.log10(5) / 3, at, 100.0, at),
    ]
    assert ends == [tuple(pytest.approx(value, abs=0.001) for value in roof) for roof in expected]
    assert ">int8</text>" in markup
    assert "float32" not in markup


def test_what_multiplies_nothing_has_no_point() -> None:
    assert [kind for kind, _, _ in circles(plot(found(CONVOLUTION, RESIZE)))] == ["part-backbone"]
    assert "No operation multiplies." in plot(found(RESIZE))
    assert "No operation multiplies." in section(found(RESIZE))


def test_the_section_says_what_was_measured() -> None:
    text = section(found(CONVOLUTION, RESIZE))
    ET.fromstring(text)
    assert "<conv>" not in text
    assert "<CPU>" not in text
    # 10 M at 50 per ns are 0.2 ms, 1000 bytes at 10 per ns a ten-thousandth; of an inference of 10 ms.
    assert "take 0.20 ms; it takes 10.0 ms and so reaches <b>2.00%</b>" in text
    assert "50.0 G multiply-adds per second in int8 and 25.0 G multiply-adds per second in float32" in text
    assert "5 to 10 GB per second" in text
    assert "LiteRT 2, a &lt;CPU&gt;, 2 threads." in text
    assert text.index("ResizeBilinear</code>") < text.index("b07_&lt;conv&gt;</code>")  # lost 4.0 ms, then 0.8
    assert '<span class="key part-resize">resize</span>' in text
    assert "<td>10.00 M</td>" in text
    widths = [float(width) for width in re.findall(r'<rect class="part-\w+"[^>]* width="([\d.]+)%"', text)]
    assert widths == [pytest.approx(20.0), pytest.approx(80.0)]


def test_a_layer_at_its_limit_is_not_among_the_losers() -> None:
    at_limit = operation("fast", "head", 0.2, Cost(10_000_000, 50_000, 0, 50_000, "int8"))
    text = section(found(at_limit, RESIZE))
    assert "<code>fast</code>" not in text
    assert "fast: 0.20 ms, 100.00% of its limit (compute)" in text


def test_the_page_shows_what_was_measured_and_checked(record: dict[str, Any], examples: list[Example]) -> None:
    results, checked = Results.from_dict(record), Check("net.tflite", 1, 0, 0, ())
    without = render(results, examples)
    shown = render(results, examples, operations=found(CONVOLUTION, RESIZE), checked=checked)
    assert not any(word in without for word in ('id="roofline"', 'id="delegates"', "operations.json"))
    order = [shown.index(f'<section id="{name}">') for name in ("latency", "roofline", "artifacts", "delegates")]
    assert order == sorted(order)
    assert "or from <code>operations.json</code> beside it.</footer>" in shown
