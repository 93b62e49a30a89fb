"""Auto-DeepLab, arXiv:1901.02985."""

from mobile_seg.models.entry import Entry, Published

PADDED = (
    "the paper counts the zeros that SPACE_TO_BATCH pads around dilated convolutions, and more; docs/decisions/0011"
)


def _entry(size: str, filters: int, params: float, macs: float) -> Entry:
    return Entry(
        f"auto_deeplab_{size}",
        family="auto_deeplab",
        paper="arXiv:1901.02985",
        row={"filters": filters},
        heads=("deeplabv3plus", "deeplabv3"),
        input_multiple=32,
        plus_one=True,
        output_strides=(8,),
        style={"activation": "relu"},
        head_options={
            "deeplabv3plus": {"aspp_rates": (12, 24, 36)},
            "deeplabv3": {"separable_head": False, "separable_aspp": False, "classifier_kernel": 1},
        },
        published=(
            Published(
                "Table 2",
                input_size=(1025, 2049),
                classes=19,
                head="deeplabv3plus",
                params=params,
                macs=macs,
                params_within=0.0005,
                macs_within=0.048,
                reason=PADDED,
            ),
        ),
    )


ENTRIES = (
    _entry("s", 20, 10.15e6, 333.25e9),
    _entry("m", 32, 21.62e6, 460.93e9),
    _entry("l", 48, 44.42e6, 695.03e9),
)
