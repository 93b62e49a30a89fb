"""SpineNet-Seg, arXiv:2103.12270."""

from typing import Any

from mobile_seg.models.entry import Entry, Published

PAPER = "arXiv:2103.12270"
DENSE = {"separable_head": False, "separable_aspp": False}
VOC: dict[str, Any] = {"input_size": (512, 512), "classes": 21}
CITYSCAPES: dict[str, Any] = {
    "input_size": (1024, 2048),
    "classes": 19,
    "options": {"aspp_rates": (12, 24, 36, 72)},
}
WHOLE = "the paper prints whole millions; 69.7 was cut to 69"
RATES = "the paper's figure lies between three rates (69.7 M, 780 B) and the four of its text"
STRIDE = "the paper's figure fits output stride 8, not the 4 that its table names (3600 B)"


def _dense(size: str, row: dict[str, Any], published: tuple[Published, ...], **head: Any) -> Entry:
    return Entry(
        f"spinenet_{size}",
        family="spinenet_seg",
        paper=PAPER,
        row=row,
        heads=("deeplabv3", "classification"),
        input_multiple=16,
        style={"activation": "relu"},
        head_options={"deeplabv3": {**DENSE, **head}},
        published=published,
    )


def _mobile(size: str, scale: float, params: float, within: float) -> Entry:
    return Entry(
        f"mobile_spinenet_{size}",
        family="mobile_spinenet_seg",
        paper=PAPER,
        row={"scale": scale},
        heads=("deeplabv3", "classification"),
        input_multiple=16,
        published=(
            Published("Table 9", **CITYSCAPES, params=params, params_within=within, reason="docs/decisions/0004"),
        ),
        mobile=True,
    )


ENTRIES = (
    _dense(
        "s49",
        {},
        (
            Published("Table 3", **VOC, params=69e6, macs=98e9, params_within=0.011, reason=WHOLE),
            Published(
                "Table 6", **CITYSCAPES, params=69e6, macs=798e9, params_within=0.03, macs_within=0.03, reason=RATES
            ),
        ),
    ),
    _dense(
        "s96",
        {"repeats": 2},
        (
            Published("Table 3", **VOC, params=116e6, macs=154e9),
            Published("Table 6", **CITYSCAPES, params=117e6, macs=1272e9),
        ),
    ),
    _dense(
        "s143",
        {"repeats": 3},
        (
            Published("Table 3", **VOC, params=162e6, macs=210e9),
            Published("Table 6", **CITYSCAPES, params=164e6, macs=1722e9),
        ),
    ),
    _dense(
        "s143_plus",
        {"repeats": 3, "scale": 1.3},
        (Published("Table 6", **CITYSCAPES, params=275e6, macs=2766e9, macs_within=0.035, reason=STRIDE),),
        head_convs=2,
    ),
    _mobile("s49", 1.0, 4.40e6, 0.405),
    _mobile("s49_minus", 0.65, 3.15e6, 0.57),
)
