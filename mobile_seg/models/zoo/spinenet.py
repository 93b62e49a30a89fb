"""SpineNet, arXiv:1912.05027, and its mobile networks of MBConv blocks (appendix A)."""

from typing import Any

from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.zoo.pyramid import HEADS, INPUT_MULTIPLE, classified, detected, head_options

PAPER = "arXiv:1912.05027"
MBCONV_WIDTHS = (16, 24, 24, 24, 80, 40, 80, 112, 80, 112, 112, 112, 112, 80, 40, 112, 112, 112)
"""Appendix A's width of each level, block by block."""

UNKNOWN = "docs/decisions/0009: no reading of the paper or its code gives this figure"


def _entry(
    size: str,
    row: dict[str, Any],
    *published: Published,
    width: int = 256,
    class_width: int = 256,
    convs: int = 4,
    activation: str = "relu",
) -> Entry:
    return Entry(
        f"spinenet_{size}",
        family="spinenet",
        paper=PAPER,
        row=row,
        heads=HEADS,
        input_multiple=INPUT_MULTIPLE,
        output_strides=(8,),
        style={"activation": activation},
        head_options=head_options(width, convs=convs, separable=False, class_width=class_width),
        published=published,
    )


def _mbconv(size: str, scale: float, published: Published, *, width: int) -> Entry:
    return Entry(
        f"spinenet_mbconv_{size}",
        family="mbconv_spinenet",
        paper=PAPER,
        row={"widths": MBCONV_WIDTHS, "stem_width": 8, "scale": scale},
        heads=HEADS,
        input_multiple=INPUT_MULTIPLE,
        output_strides=(8,),
        style={"activation": "swish"},
        head_options=head_options(width, convs=4, separable=True, class_width=256),
        published=(published,),
        mobile=True,
    )


ENTRIES = (
    _entry(
        "49s",
        {"scale": 0.65},
        detected("Table 2", 640, 11.9e6, 33.8e9, params_within=0.06, macs_within=0.1, reason=UNKNOWN),
        width=128,
    ),
    _entry(
        "49",
        {},
        detected("Table 2", 640, 28.5e6, 85.4e9),
        detected("Table 2", 896, 28.5e6, 167.4e9),
        classified("Table 6", 224, 22.1e6, 3.5e9),
    ),
    _entry(
        "96",
        {"repeats": 2},
        detected("Table 2", 1024, 43.0e6, 265.4e9),
        classified("Table 6", 224, 36.5e6, 5.7e9),
    ),
    _entry(
        "143",
        {"repeats": 3, "alpha": 1.0},
        detected("Table 2", 1280, 66.9e6, 524.4e9),
        classified("Table 6", 224, 60.5e6, 9.1e9),
    ),
    _entry(
        "190",
        {"repeats": 4, "alpha": 1.0, "scale": 1.3, "drop_path": 0.2},
        detected("Table 2", 1280, 163.6e6, 1885e9),
        classified("Table 10", 224, 127.1e6, 19.1e9),
        width=512,
        class_width=512,
        convs=7,
        activation="swish",
    ),
    _mbconv(
        "49xs",
        0.6,
        detected("Table 9", 256, 0.82e6, 0.17e9, params_within=0.07, macs_within=0.035, reason=UNKNOWN),
        width=24,
    ),
    _mbconv(
        "49s",
        0.65,
        detected("Table 9", 384, 0.97e6, 0.52e9, params_within=0.065, macs_within=0.05, reason=UNKNOWN),
        width=40,
    ),
    _mbconv(
        "49",
        1.0,
        detected("Table 9", 384, 2.32e6, 1.00e9, macs_within=0.025, reason=UNKNOWN),
        width=48,
    ),
)
