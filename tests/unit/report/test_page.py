import base64
import copy
import html
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from mobile_seg.errors import UsageError
from mobile_seg.report import headline, markup, sections
from mobile_seg.report.page import Example, render
from mobile_seg.report.results import Results

VOID = {"meta", "link", "input", "br", "img", "wbr"}
STYLES = {
    "%": lambda text: float(text[:-1]) / 100,
    " MB": lambda text: float(text[:-3]) * 1e6,
    " kB": lambda text: float(text[:-3]) * 1e3,
    " dB": lambda text: float(text[:-3]),
    " G": lambda text: float(text[:-2]) * 1e9,
    " M": lambda text: float(text[:-2]) * 1e6,
}


class Page(HTMLParser):
    """Checks the nesting and collects attributes, `<data>` quotes and the cells of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.quotes: list[tuple[str, str, str]] = []
        self.bare_cells: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = {name: value or "" for name, value in attrs}
        assert len(values) == len(attrs), f"<{tag}> has an attribute twice"
        self.attributes += [(tag, name, value) for name, value in values.items()]
        self.ids += [values["id"]] if "id" in values else []
        if tag == "data":
            self.quotes.append((values["data-key"], values["value"], ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == "data":
            key, value, before = self.quotes[-1]
            self.quotes[-1] = (key, value, before + text)
        elif "td" in self.open and "code" not in self.open and text.strip():
            self.bare_cells.append(text)


def look_up(record, key):
    total, sign = 0.0, 1
    for word in key.split():
        if word in "+-":
            sign = -1 if word == "-" else 1
            continue
        at = record
        for part in word.split("."):
            at = at[int(part)] if isinstance(at, list) else at[part]
        total += sign * at
    return total


@pytest.fixture
def text(record, examples) -> str:
    return render(Results.from_dict(record), examples)


def test_page_is_well_formed_and_ids_are_unique(text):
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert len(page.ids) == len(set(page.ids))


def test_page_fetches_nothing(text):
    references = [
        (name, value) for _, name, value in Page(text).attributes if name in ("src", "href", "srcset", "data")
    ]
    assert references
    for name, value in references:
        assert value.startswith(("data:", "#")), (name, value[:60])
    assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest", text)
    assert "default-src 'none'" in text


def test_references_inside_the_page_have_their_targets(text):
    page = Page(text)
    targets = {value[1:] for _, name, value in page.attributes if name == "href" and value.startswith("#")}
    assert targets == {"photo0", "photo1"}
    assert targets <= set(page.ids)


def test_every_quoted_number_is_the_record_s(record, text):
    quotes = Page(text).quotes
    assert len(quotes) > 60
    for key, value, _ in quotes:
        assert float(value) == pytest.approx(look_up(record, key), abs=1e-12), key


def test_shown_text_is_the_quoted_number_rounded(text):
    for key, value, shown in Page(text).quotes:
        number = float(value)
        unit = next((unit for unit in STYLES if shown.endswith(unit)), None)
        if unit:
            digits = len(re.search(r"\.(\d+)", shown).group(1))
            scale = abs(STYLES[unit]("1" + unit))
            assert STYLES[unit](shown) == pytest.approx(number, abs=0.51 * scale * 10**-digits), key
        elif key.startswith("wall_seconds"):
            assert shown == markup.duration(number)
        elif " - " in key or key in ("miou.int8", "miou.float"):
            assert float(shown.replace(markup.MINUS, "-")) == pytest.approx(100 * number, abs=0.0051), key
        else:
            assert float(shown.replace(",", "")) == pytest.approx(number, abs=0.051), key


def test_no_number_in_a_table_is_unquoted(text):
    bare = Page(text).bare_cells
    assert bare
    assert [cell for cell in bare if re.search(r"\d", cell)] == ["float32", "int8"]


@pytest.mark.parametrize(
    "key",
    ["miou.int8", "agreement.int8_vs_qat", "psnr_db", "partitions", "size_bytes", "float_ops", "macs", "params"]
    + [f"latency_ms.{threads}.{stage}" for threads in "12" for stage in ("pre", "infer", "post")]
    + [f"latency_p95_ms.{threads}.infer" for threads in "12"]
    + ["artifacts.0.latency_ms.1.infer", "artifacts.0.miou", "artifacts.1.float_ops", "peak_memory_bytes"]
    + ["per_class_iou.float.0", "per_class_iou.qat.2", "wall_seconds.float_training", "wall_seconds.profile"],
)
def test_measurement_stands_on_the_page(text, key):
    assert key in {quoted for quoted, _, _ in Page(text).quotes}


def test_text_is_escaped(record, examples):
    evil = "<script>alert('x')</script>\"&"
    for key in ("model", "data", "run", "created", "command"):
        record[key] = evil
    record["classes"][0] = evil
    record["host"]["cpu"] = record["host"]["os"] = evil
    record["recipe"] = {evil: evil, "nested": [evil]}
    record["versions"] = {evil: evil, "ai-edge-litert": evil}
    for key in ("file", "precision", "sha256"):
        record["artifacts"][0][key] = evil
    first = examples[0]
    examples[0] = Example(evil, first.image, first.truth, first.float_prediction, first.int8_prediction)
    text = render(Results.from_dict(record), examples)
    page = Page(text)
    assert text.count("<script>") == 1
    assert "alert('x')" not in text
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert html.escape(evil) in text


def test_template_signs_in_the_record_are_left_alone(record, examples):
    record["command"] = "mobile-seg run --name $style ${script}"
    text = render(Results.from_dict(record), examples)
    assert (
        html.unescape(re.sub("<[^>]*>", "", re.search('id="command">(.*?)</code>', text).group(1))) == record["command"]
    )


def test_class_colours_are_the_palette_s(text):
    legend = re.search(r'<ul class="legend".*?</ul>', text).group(0)
    table = re.search(r"<table.*?</table>", text).group(0)
    expected = ["#4682b4", "#804080", "#6b8e23"]
    assert re.findall(r"background: (#\w+)", legend) == expected
    assert re.findall(r"background: (#\w+)", table) == expected


def test_every_picture_and_slider_has_a_name(text):
    tags = re.findall(r"<(?:svg|img)[^>]*>", text)
    outer = [tag for tag in tags if "preserveAspectRatio" not in tag]
    assert outer
    assert all(re.search(r'aria-label="[^"]+"|aria-hidden="true"', tag) for tag in outer)
    assert all(re.search(r"<caption>[^<]+</caption>", table) for table in re.findall(r"<table.*?</table>", text))


def decoded(uri: str) -> np.ndarray:
    content = np.frombuffer(base64.b64decode(uri.split(",", 1)[1]), np.uint8)
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)


def test_layers_hold_the_palette_and_leave_ignored_pixels_clear(record, examples, text):
    uris = re.findall(r'<image class="labels"[^>]* href="(data:image/png[^"]*)"', text)
    truth, float_layer, _ = (decoded(uri) for uri in uris[:3])
    expected = np.asarray(record["palette"], np.uint8)[np.where(examples[0].truth == 255, 0, examples[0].truth)]
    known = examples[0].truth != 255
    np.testing.assert_array_equal(truth[..., 2::-1][known], expected[known])
    np.testing.assert_array_equal(truth[..., 3] == 0, ~known)
    assert (float_layer[..., 3] == 255).all()


def test_difference_layer_marks_the_pixels_that_differ(examples, text):
    layers = [decoded(uri) for uri in re.findall(r'<image class="differs"[^>]* href="([^"]*)"', text)]
    for example, layer in zip(examples, layers, strict=True):
        np.testing.assert_array_equal(layer[..., 3] > 0, example.float_prediction != example.int8_prediction)
    assert "1.00% of pixels differ" in text
    assert "0.00% of pixels differ" in text


def test_wide_photo_is_reduced(record):
    labels = np.zeros((500, 1440), np.uint8)
    wide = Example("wide", np.zeros((500, 1440, 3), np.uint8), labels, labels, labels)
    text = render(Results.from_dict(record), [wide])
    photo = decoded(re.search(r'href="(data:image/jpeg[^"]*)"', text).group(1))
    assert photo.shape == (250, 720, 3)


def test_worst_drop_is_marked_once(record, text):
    assert text.count('<tr class="worst">') == 1
    row = re.search(r'<tr class="worst">.*?</tr>', text).group(0)
    assert "road &amp; kerb" in row
    assert f"{markup.MINUS}2.23" in row


def test_no_class_is_the_worst_when_none_loses(record):
    record["per_class_iou"]["int8"] = list(record["per_class_iou"]["float"])
    assert sections.worst_class(Results.from_dict(record)) is None


def test_verdict_says_what_was_measured(record):
    def said(changed):
        results = Results.from_dict(changed)
        return html.unescape(re.sub("<[^>]*>", "", headline.verdict(results, markup.Quote(results)))).replace(
            "\xa0", " "
        )

    assert said(record) == (
        "int8 keeps 61.23 of 61.54 mIoU points, runs in 14.3 ms on 2 threads of this host\u2019s CPU, "
        "weighs 1.91 MB and has no float operation inside."
    )
    better = copy.deepcopy(record)
    better["miou"]["int8"] = 0.62
    better["float_ops"] = 3
    assert said(better).startswith("int8 reaches 62.00 mIoU points, float 61.54, runs")
    assert said(better).endswith("has 3 float operations inside.")


def test_qat_curve_begins_where_the_float_curve_ended(text):
    loss = re.findall(r'<polyline class="(\w+)" points="([^"]*)"', text)[:2]
    assert [kind for kind, _ in loss] == ["float", "qat"]
    assert [float(pair.split(",")[0]) for pair in loss[0][1].split()] == pytest.approx([25.0, 50.0, 75.0])
    assert [float(pair.split(",")[0]) for pair in loss[1][1].split()] == pytest.approx([87.5, 100.0])


def test_int8_latency_is_not_told_twice(text):
    table = re.search(r'id="latency".*?</table>', text, re.DOTALL).group(0)
    assert re.findall(r'class="named">(\w+)', table) == ["int8", "int8", "float32", "float32"]


def test_page_needs_an_example(record):
    with pytest.raises(UsageError, match="at least one example"):
        render(Results.from_dict(record), [])


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (np.zeros((4, 6, 3), np.float32), np.zeros((4, 6), np.uint8)),
        (np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)),
        (np.zeros((4, 6, 3), np.uint8), np.zeros((2, 3), np.uint8)),
        (np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.float32)),
    ],
)
def test_example_that_does_not_fit_is_refused(image, labels):
    with pytest.raises(UsageError, match="example 'a'"):
        Example("a", image, labels, labels, labels)


@pytest.mark.parametrize(
    ("style", "value", "shown"),
    [
        (markup.percent, 0.61229, "61.23%"),
        (markup.points, -0.00314, "\N{MINUS SIGN}0.31"),
        (markup.points, 0.002, "+0.20"),
        (markup.points, -0.00001, "0.00"),
        (markup.milliseconds, 14.26, "14.3"),
        (markup.milliseconds, 0.512, "0.51"),
        (markup.bytes_, 1913344, "1.91 MB"),
        (markup.bytes_, 41200, "41.2 kB"),
        (markup.amount, 1383211, "1.38 M"),
        (markup.duration, 42.44, "42.4 s"),
        (markup.duration, 59.97, "1 min 00 s"),
        (markup.duration, 3600.0, "1 h 00 min"),
        (markup.duration, 7431.2, "2 h 04 min"),
    ],
)
def test_units(style, value, shown):
    assert style(value) == shown
