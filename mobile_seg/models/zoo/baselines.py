"""What the papers compare with: MobileNetV2, MobileNetV3-Large and ResNet-50, with DeepLab's heads and LR-ASPP."""

from typing import Any

from mobile_seg.models.entry import Entry, Published

VOC: dict[str, Any] = {"input_size": (513, 513), "classes": 21}
IMAGENET: dict[str, Any] = {"input_size": (224, 224), "classes": 1000, "head": "classification"}

REDUCED_ASPP = {
    "aspp_rates": (),
    "separable_aspp": False,
    "separable_head": False,
    "classifier_kernel": 1,
}
"""DeepLabv3 as MobileNets have it: image pooling and the 1x1 only (arXiv:1801.04381, sec. 6.3)."""

MOBILE_DECODER = {"aspp_rates": (), "separable_decoder": True}

V3_CITYSCAPES: dict[str, Any] = {"input_size": (1025, 2049), "classes": 19}
"""MobileNetV3's Table 7 counts at DeepLab's crop, one pixel more than the images (docs/decisions/0011)."""
V3_TABLE = "MobileNetV3, Table 7"
HARD = "the paper counts 0.2 B that are in no convolution and fit its hard-swish; docs/decisions/0011"
HARD_AND_LOW = "as the paper's DeepLabv3 row, and its LR-ASPP reads wider low-level features; docs/decisions/0011"
RESIZED = "about 0.01 B in both of the zoo's MobileNetV2 counts is in no convolution; docs/decisions/0011"
NO_BN = "the paper's figure leaves out BN and biases and is cut: 3.47 M"
STRIDED_1X1 = "the paper's stages halve in their first 1x1 convolution; in ours, as in all code since, in the 3x3"

SEG_RESNET = {"late_stride": True, "tail_repeats": 3}
SEG_VOC: dict[str, Any] = {"input_size": (512, 512), "classes": 21}
SEG_CITYSCAPES: dict[str, Any] = {"input_size": (1024, 2048), "classes": 19}


def _mobilenet(name: str, family: str, paper: str, heads: tuple[str, ...], **fields: Any) -> Entry:
    return Entry(
        name,
        family=family,
        paper=paper,
        heads=(*heads, "deeplabv3plus", "classification"),
        input_multiple=32,
        plus_one=True,
        output_strides=(16, 8, 32),
        head_options={"deeplabv3": REDUCED_ASPP, "deeplabv3plus": MOBILE_DECODER},
        mobile=True,
        **fields,
    )


def _v2(name: str, row: dict[str, Any], published: tuple[Published, ...]) -> Entry:
    heads = ("deeplabv3", "lraspp")
    return _mobilenet(name, "mobilenet_v2", "arXiv:1801.04381", heads, row=row, published=published)


def _v3(head: str, params: float, macs: float, within: float, reason: str, **options: Any) -> Published:
    return Published(
        V3_TABLE,
        **V3_CITYSCAPES,
        head=head,
        params=params,
        macs=macs,
        options=options,
        macs_within=within,
        reason=reason,
    )


def _seg(table: str, setting: dict[str, Any], head: str, params: float, macs: float, **options: Any) -> Published:
    return Published(
        f"SpineNet-Seg, Table {table}",
        **setting,
        head=head,
        params=params,
        macs=macs,
        options={**SEG_RESNET, **options},
    )


ENTRIES = (
    _v2(
        "mobilenet_v2",
        {},
        (
            Published("Table 7", **VOC, params=2.11e6, macs=2.75e9),
            Published(V3_TABLE, **V3_CITYSCAPES, params=2.11e6, macs=21.29e9),
            Published(
                "Table 4",
                **IMAGENET,
                params=3.4e6,
                macs=300e6,
                options={"output_stride": 32, "final_width": 1280},
                params_within=0.032,
                reason=NO_BN,
            ),
        ),
    ),
    # As released for DeepLab (and for the Edge TPU): widths are halved as they are, 24 becomes 12.
    _v2(
        "mobilenet_v2_050",
        {"width": 0.5, "divisor": 1},
        (Published("DeepLab's model zoo", **VOC, macs=0.88e9, macs_within=0.016, reason=RESIZED),),
    ),
    _mobilenet(
        "mobilenet_v3_large",
        "mobilenet_v3",
        "arXiv:1905.02244",
        ("lraspp", "deeplabv3"),
        row={"reduced_tail": True},
        style={"activation": "relu"},
        published=(
            _v3("lraspp", 1.51e6, 9.74e9, 0.035, HARD_AND_LOW),
            _v3("lraspp", 1.63e6, 10.33e9, 0.038, HARD_AND_LOW, lraspp_width=256),
            _v3("deeplabv3", 1.76e6, 11.24e9, 0.02, HARD),
            _v3("deeplabv3", 3.60e6, 18.43e9, 0.016, HARD, reduced_tail=False),
        ),
    ),
    Entry(
        "resnet_50",
        family="resnet",
        paper="arXiv:1512.03385",
        row={},
        heads=("deeplabv3plus", "deeplabv3", "classification"),
        input_multiple=32,
        plus_one=True,
        output_strides=(16, 8, 32),
        style={"activation": "relu"},
        head_options={"deeplabv3": {"aspp_rates": (6, 12, 18), "separable_aspp": False, "separable_head": False}},
        published=(
            _seg("3", SEG_VOC, "deeplabv3", 74e6, 115e9),
            _seg("3", SEG_VOC, "deeplabv3plus", 75e6, 117e9, separable_decoder=True),
            _seg("6", SEG_CITYSCAPES, "deeplabv3plus", 76e6, 1092e9, classifier_kernel=3),
            Published(
                "Table 1", **IMAGENET, macs=3.8e9, options={"output_stride": 32}, macs_within=0.08, reason=STRIDED_1X1
            ),
            Published("torchvision", **IMAGENET, params=25.557e6, macs=4.09e9, options={"output_stride": 32}),
        ),
    ),
)
