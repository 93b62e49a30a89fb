"""SWideRNet and Wide-ResNet-41 with Panoptic-DeepLab, arXiv:2011.11675."""

from typing import Any

from mobile_seg.models.entry import Entry, Published

PAPER = "arXiv:2011.11675"
COCO: dict[str, Any] = {"input_size": (641, 641), "classes": 134, "head": "panoptic"}
CITYSCAPES: dict[str, Any] = {"input_size": (1025, 2049), "classes": 19, "head": "panoptic"}
SEPARABLE = {"separable_aspp": True, "separable_head": True}
DENSE = {"separable_aspp": False, "separable_head": False}
PLAIN = {"squeeze_excite": False, "switchable_atrous": False}
PADDED = "the paper counts the zeros that SPACE_TO_BATCH pads around dilated convolutions; docs/decisions/0010"
COCO_OPEN = "on COCO the paper counts about 0.9 B more, whatever the width; docs/decisions/0010"


def _entry(
    name: str, row: dict[str, Any], convolutions: dict[str, bool], published: tuple[Published, ...], mobile: bool
) -> Entry:
    ours = {"aspp_rates": (6, 12, 18), "aspp_dropout": 0.1, **convolutions}
    return Entry(
        name,
        family="swidernet",
        paper=PAPER,
        row=row,
        heads=("deeplabv3", "panoptic"),
        input_multiple=16,
        plus_one=True,
        output_strides=(16, 32),
        style={"activation": "relu"},
        head_options={"panoptic": ours, "deeplabv3": {**ours, "classifier_kernel": 1}},
        published=published,
        mobile=mobile,
    )


def _fast(name: str, factors: tuple[float, float, float], coco: float, cityscapes: float, coco_within: float) -> Entry:
    width1, width2, depth = factors
    published = (
        Published("Table 5", **COCO, macs=coco, macs_within=coco_within, reason=COCO_OPEN),
        Published("Table 5", **CITYSCAPES, macs=cityscapes),
    )
    row = {"width1": width1, "width2": width2, "depth": depth}
    return _entry(f"swidernet_{name}", row, SEPARABLE, published, mobile=True)


def _table3(params: float, macs: float, within: float = 0.035, **options: Any) -> Published:
    return Published("Table 3", **COCO, params=params, macs=macs, options=options, macs_within=within, reason=PADDED)


ENTRIES = (
    _fast("025_025_075", (0.25, 0.25, 0.75), 31.67e9, 151.97e9, 0.032),
    _fast("025_035_075", (0.25, 0.35, 0.75), 47.13e9, 229.49e9, 0.024),
    _fast("025_035_1", (0.25, 0.35, 1), 64.98e9, 319.14e9, 0.02),
    _fast("025_05_1", (0.25, 0.5, 1), 116.37e9, 576.83e9, 0.015),
    _fast("025_075_1", (0.25, 0.75, 1), 240.59e9, 1199.85e9, 0.011),
    _entry(
        "swidernet_1_1_1",
        {},
        DENSE,
        (_table3(168.77e6, 680.79e9), _table3(136.92e6, 499.16e9, 0.01, **SEPARABLE)),
        mobile=False,
    ),
    _entry("swidernet_1_1_45", {"depth": 4.5}, DENSE, (), mobile=False),
    _entry(
        "wide_resnet_41",
        PLAIN,
        DENSE,
        (
            _table3(147.32e6, 655.66e9),
            _table3(151.26e6, 680.68e9, switchable_atrous=True),
            _table3(168.77e6, 680.79e9, switchable_atrous=True, squeeze_excite=True),
        ),
        mobile=False,
    ),
)
