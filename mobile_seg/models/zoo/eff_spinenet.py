"""Eff-SpineNet, "Efficient Scale-Permuted Backbone with Learned Resource Distribution" (ECCV 2020)."""

from typing import Any

from mobile_seg.models.entry import Entry, Published
from mobile_seg.models.zoo.pyramid import HEADS, INPUT_MULTIPLE, classified, detected, head_options

PAPER = "Du et al., ECCV 2020"
SP_EFFICIENTNET_B0 = (16, 24, 24, 24, 96, 40, 96, 152, 96, 152, 152, 152, 152, 96, 40, 152, 152, 152)
D0 = (16, 24, 16, 16, 104, 48, 120, 40, 120, 168, 96, 192, 136, 104, 40, 136, 136, 40)
"""Table 1's width of each block; Table 2's repeats are below."""
TWICE = (2, 2, 1, 1, 2, 2, 2, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 1)

STEM = "docs/decisions/0009: the paper gives neither the stem's width nor a rule for rounding widths"
DEPTH = "docs/decisions/0009: the paper's space-to-depth adds 0.3 M to D0, its Fig. 2 as drawn 0.43 M"
NO_DEPTH: dict[str, Any] = {"options": {"space_to_depth": False}}


def _segmented(macs: float) -> Published:
    return Published("Table 11", (512, 512), 21, head="pyramid_fusion", macs=macs, macs_within=0.022, reason=STEM)


def _entry(name: str, row: dict[str, Any], *published: Published, subnet: int) -> Entry:
    return Entry(
        name,
        family="mbconv_spinenet",
        paper=PAPER,
        row={"widths": D0, "stem_width": 16, "weighted_fusion": True, "space_to_depth": True, "drop_path": 0.2, **row},
        heads=HEADS,
        input_multiple=INPUT_MULTIPLE,
        output_strides=(8,),
        style={"activation": "swish"},
        head_options=head_options(subnet, convs=3, separable=True, class_width=256),
        published=published,
        mobile=True,
    )


ENTRIES = (
    _entry(
        "eff_spinenet_m0",
        {"scale": 0.4},
        detected("Table 7", 256, 0.67e6, 0.15e9, params_within=0.045, macs_within=0.17, reason=STEM),
        subnet=24,
    ),
    _entry(
        "eff_spinenet_m1",
        {"scale": 0.5},
        detected("Table 7", 384, 0.99e6, 0.51e9, params_within=0.02, macs_within=0.1, reason=STEM),
        subnet=40,
    ),
    _entry(
        "eff_spinenet_m2",
        {"scale": 0.8},
        detected("Table 7", 384, 2.36e6, 0.97e9, params_within=0.03, macs_within=0.03, reason=DEPTH),
        subnet=64,
    ),
    _entry(
        "eff_spinenet_d0",
        {},
        detected("Table 3", 512, 3.6e6, 2.5e9, params_within=0.04, macs_within=0.015, reason=DEPTH),
        detected("Table 9, model 1", 512, 3.3e6, 2.4e9, macs_within=0.02, reason=STEM, **NO_DEPTH),
        classified("Table 10", 224, 3.57e6, 0.38e9, macs_within=0.035, reason=STEM, **NO_DEPTH),
        _segmented(2.1e9),
        subnet=64,
    ),
    _entry(
        "eff_spinenet_d1",
        {"repeats": TWICE},
        detected("Table 3", 640, 5.2e6, 6.0e9),
        classified("Table 10", 240, 4.97e6, 0.70e9, **NO_DEPTH),
        subnet=88,
    ),
    _entry(
        "eff_spinenet_d2",
        {"repeats": TWICE, "scale": 1.1},
        detected("Table 3", 768, 6.2e6, 10.3e9, macs_within=0.02, reason=STEM),
        classified("Table 10", 256, 5.83e6, 0.89e9, macs_within=0.02, reason=STEM, **NO_DEPTH),
        _segmented(3.8e9),
        subnet=112,
    ),
    _entry(
        "sp_efficientnet_b0",
        {"widths": SP_EFFICIENTNET_B0},
        detected("Table 8", 512, 4.4e6, 2.4e9, params_within=0.045, macs_within=0.035, reason=DEPTH),
        subnet=64,
    ),
)
