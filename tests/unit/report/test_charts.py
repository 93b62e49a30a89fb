import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_seg.report import charts
from mobile_seg.report.charts import Line


def bars(svg: str) -> list[dict[str, str]]:
    return [rect.attrib for rect in ET.fromstring(svg).iter("rect")]


def share(text: str) -> float:
    assert text.endswith("%")
    return float(text[:-1])


def test_class_bars_are_as_long_as_their_fractions():
    drawn = bars(charts.class_bars({"float": 0.8, "qat": 0.4, "int8": 0.2}))
    assert [bar["class"] for bar in drawn] == ["float", "qat", "int8"]
    assert [share(bar["width"]) for bar in drawn] == pytest.approx([80.0, 40.0, 20.0])
    assert len({bar["y"] for bar in drawn}) == 3


def test_absent_class_draws_no_bar_and_keeps_the_others_in_place():
    whole = bars(charts.class_bars({"float": 0.8, "qat": 0.4, "int8": 0.2}))
    absent = bars(charts.class_bars({"float": None, "qat": 0.4, "int8": 0.2}))
    assert absent == whole[1:]


def test_stacked_stages_touch_and_end_at_their_sum():
    drawn = bars(charts.stacked_bar({"pre": 1.0, "infer": 6.0, "post": 3.0}, most=20.0))
    assert [share(bar["width"]) for bar in drawn] == pytest.approx([5.0, 30.0, 15.0])
    assert [share(bar["x"]) for bar in drawn] == pytest.approx([0.0, 5.0, 35.0])


def test_line_chart_puts_points_where_the_axis_says():
    line = Line("float", "float", ((0.0, 0.0), (50.0, 1.0), (100.0, 2.0)))
    root = ET.fromstring(charts.line_chart("Loss", [line], style=str))
    points = [tuple(map(float, pair.split(","))) for pair in root.find(".//polyline").attrib["points"].split()]
    labels = {float(text.text): share(text.attrib["y"]) for text in root.iter("text") if text.attrib["class"] == "y"}
    assert [x for x, _ in points] == pytest.approx([0.0, 50.0, 100.0])
    assert points[0][1] == pytest.approx(labels[0.0])
    assert points[2][1] == pytest.approx(labels[2.0])
    assert (labels[0.0], labels[2.0]) == pytest.approx((100.0, 0.0))
    assert points[1][1] == pytest.approx((labels[0.0] + labels[2.0]) / 2)


def test_line_chart_thins_long_curves_and_keeps_the_last_point():
    line = Line("float", "float", tuple((float(step), float(step % 7)) for step in range(10_000)))
    svg = charts.line_chart("Loss", [line], style=str)
    points = re.search(r'points="([^"]*)"', svg).group(1).split()
    assert len(points) <= charts.MOST_POINTS + 1
    assert points[-1].startswith("100.00,")


def test_line_chart_without_points_says_so():
    assert "Nothing was recorded" in charts.line_chart("mIoU", [Line("float", "float", ())], style=str)


def test_chart_names_are_escaped():
    line = Line("<b>", "float", ((0.0, 1.0),))
    svg = charts.line_chart("<i>", [line], style=str)
    assert "<b>" not in svg
    assert "<i>" not in svg


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 8))
def test_ticks_enclose_the_values_evenly(low, span, most):
    marks = charts.ticks(low, low + span, most=most)
    steps = [after - before for before, after in itertools.pairwise(marks)]
    slack = 1e-6 * max(abs(low), abs(low + span), 1e-6) + 1e-9
    assert 2 <= len(marks) <= most + 1
    assert marks[0] <= low + slack
    assert marks[-1] >= low + span - slack
    assert max(steps) - min(steps) <= slack
