"""What MediaPipe's ImageSegmenter is said to make of a file, rule by rule, from both sides."""

from typing import Any

import pytest

from mobile_seg.converters.tflite_metadata import MISREAD
from mobile_seg.inspection.mediapipe import RULES, reads
from mobile_seg.inspection.records import Tensor

IMAGE = Tensor("image", (1, 64, 96, 3), "uint8")
LOGITS = Tensor("segmentation", (1, 64, 96, 5), "float32")


def metadata(*units: dict[str, Any], colours: str = "RGB") -> dict[str, Any]:
    image = {
        "content": {"content_properties": ("ImageProperties", {"color_space": colours})},
        "process_units": [{"options": ("NormalizationOptions", unit)} for unit in units],
    }
    return {"subgraph_metadata": [{"input_tensor_metadata": [image]}]}


def said(given: Tensor = IMAGE, made: Tensor = LOGITS, about: dict[str, Any] | None = None) -> str:
    (line,) = reads((given,), (made,), about)
    return line


def test_bytes_in_and_logits_out_are_read() -> None:
    assert said() == "MediaPipe ImageSegmenter reads it"
    assert said(Tensor("image", (1, 64, 96, 3), "float32"), about=metadata({"mean": [0.0], "std": [1.0]})).endswith(
        "it"
    )


def test_logits_at_the_output_stride_are_read_with_a_word_on_edges() -> None:
    line = said(made=Tensor("segmentation", (1, 8, 12, 5), "int8"))
    assert line.startswith("MediaPipe ImageSegmenter reads it; it enlarges logits with aligned corners")


FLOATS = Tensor("image", (1, 64, 96, 3), "float32")


@pytest.mark.parametrize(
    ("rule", "given", "made", "about"),
    [
        ("image_is_nhwc", Tensor("image", (1, 3, 64, 96), "uint8"), LOGITS, None),
        ("image_is_nhwc", Tensor("image", (2, 64, 96, 3), "uint8"), LOGITS, None),
        ("image_is_bytes_or_floats", Tensor("image", (1, 64, 96, 3), "int8"), LOGITS, None),
        ("floats_have_normalization", FLOATS, LOGITS, None),
        ("floats_have_normalization", FLOATS, LOGITS, metadata()),
        ("normalization_is_one_number", FLOATS, LOGITS, metadata({"mean": [1.0, 2.0, 3.0], "std": [1.0]})),
        ("colours_are_rgb", IMAGE, LOGITS, metadata(colours="GRAYSCALE")),
        ("output_is_logits", IMAGE, Tensor("ids", (1, 64, 96), "int32"), None),
        ("output_is_logits", IMAGE, Tensor("ids", (1, 64, 96, 1), "int32"), None),
        ("output_is_logits", IMAGE, Tensor("ids", (1, 64, 96), "uint8"), None),
    ],
)
def test_what_breaks_a_rule_is_told_its_sentence(
    rule: str, given: Tensor, made: Tensor, about: dict[str, Any] | None
) -> None:
    sentence = next(" ".join((one.__doc__ or "").split()) for one in RULES if one.__name__ == rule)
    assert said(given, made, about).endswith(sentence)


def test_equal_numbers_per_channel_are_one_number() -> None:
    assert (
        said(FLOATS, about=metadata({"mean": [127.5] * 3, "std": [127.5] * 3})) == "MediaPipe ImageSegmenter reads it"
    )


def test_class_ids_are_told_as_our_exports_say_it() -> None:
    assert said(made=Tensor("ids", (1, 64, 96), "int32")) == MISREAD


def test_what_is_no_segmentation_is_left_alone() -> None:
    assert reads((IMAGE,), (LOGITS, LOGITS), None) == ()
    assert reads((IMAGE,), (Tensor("classes", (1, 1000), "float32"),), None) == ()
    assert reads((Tensor("words", (1, 128), "int32"),), (LOGITS,), None) == ()
