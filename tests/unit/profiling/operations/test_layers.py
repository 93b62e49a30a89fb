"""Names as converters write them, and where they say an operation stands."""

import pytest

from mobile_seg.profiling.operations.layers import Place, place

NET = "mobile_spinenet_s49_minus_int8_qat_deploy_1"


@pytest.mark.parametrize(
    ("tensor", "operation", "expected"),
    [
        (
            f"{NET}/b06_expand_act_1/Relu6;{NET}/b06_expand_conv_1/add;{NET}/b06_expand_conv_1/convolution;"
            f"{NET}/b06_expand_conv_1/add/ReadVariableOp/resource1",
            "CONV_2D",
            Place("b06_expand_conv", "b06", "backbone"),
        ),
        (
            "net_1/b05_from02_down0_act_1/Relu6;net_1/b05_from02_down0_bn_1/batchnorm/mul_1;"
            "net_1/b05_from02_down0_depthwise_1/depthwise1;net_1/b05_from02_down0_bn_1/batchnorm/mul",
            "DEPTHWISE_CONV_2D",
            Place("b05_from02_down0_depthwise", "b05", "backbone"),
        ),
        ("net_1/b02_merge_act_1/Relu6;net_1/b02_merge_1/Add", "ADD", Place("b02_merge", "b02", "backbone")),
        (
            "net_1/b20_from19_up_1/resize/ResizeNearestNeighbor",
            "RESIZE_NEAREST_NEIGHBOR",
            Place("b20_from19_up", "b20", "backbone"),
        ),
        ("net_1/aspp_pool_up_1/resize/ResizeBilinear", "RESIZE_BILINEAR", Place("aspp_pool_up", "aspp", "aspp")),
        ("net_1/stem_normalize_1/mul", "MUL", Place("stem_normalize", "stem", "stem")),
        ("net_1/conv2b1_reduce_conv_1/convolution", "CONV_2D", Place("conv2b1_reduce_conv", "conv2b1", "backbone")),
        ("net_1/semanticaspp_drop_1/x", "ADD", Place("semanticaspp_drop", "semanticaspp", "aspp")),
        ("net_1/semantic4_fuse_point_act_1/x", "CONV_2D", Place("semantic4_fuse_point_act", "semantic4", "head")),
        ("net_1/class_p7_1/Reshape", "RESHAPE", Place("class_p7", "class", "head")),
        # What an operation is wins over where it stands.
        ("net_1/head_labels_1/ArgMax", "ARG_MAX", Place("head_labels", "head", "argmax")),
        ("image", "QUANTIZE", Place("image", "image", "quantize")),
        # Of other blocks' variables, stored once for many layers, nothing is taken.
        (
            "net_1/b03_mix_act_1/Relu6;net_1/b00_mix_depthwise_1/add/ReadVariableOp/resource1",
            "DEPTHWISE_CONV_2D",
            Place("b03_mix_act", "b03", "backbone"),
        ),
    ],
)
def test_our_networks(tensor: str, operation: str, expected: Place) -> None:
    assert place(tensor, operation=operation) == expected


@pytest.mark.parametrize(
    ("tensor", "operation", "expected"),
    [
        (
            "MobilenetV2/expanded_conv_5/project/add_fold;MobilenetV2/expanded_conv_5/project/Conv2D_Fold",
            "CONV_2D",
            Place("MobilenetV2/expanded_conv_5/project", "MobilenetV2/expanded_conv_5", "MobilenetV2"),
        ),
        ("StatefulPartitionedCall/unet/conv2d_1/Conv2D1", "CONV_2D", Place("unet/conv2d_1", "unet/conv2d_1", "unet")),
        ("model/quant_up_sampling2d_4/resize/ResizeBilinear", "RESIZE_BILINEAR", None),
        ("ResizeBilinear_2", "RESIZE_BILINEAR", Place("ResizeBilinear_2", "ResizeBilinear_2", "resize")),
        ("conv2d_10", "CONV_2D", Place("conv2d_10", "conv2d_10", "network")),
        ("", "ADD", Place("ADD", "ADD", "network")),
        (";;", "ADD", Place("ADD", "ADD", "network")),
        ("/", "RESIZE_BILINEAR", Place("RESIZE_BILINEAR", "RESIZE_BILINEAR", "resize")),
    ],
)
def test_networks_of_others(tensor: str, operation: str, expected: Place | None) -> None:
    found = place(tensor, operation=operation)
    assert found == expected if expected else found.part == "resize"


def test_weights_tell_where_the_output_does_not() -> None:
    weights = ["net_1/b01_expand_conv_1/convolution"]
    named = place("net_1/b01_expand_act_1/Relu6", operation="CONV_2D", weights=weights)
    assert named.layer == "b01_expand_conv"
    assert place("Identity", operation="CONV_2D", weights=weights) == Place("b01_expand_conv", "b01", "backbone")
    # Weights that another block holds too are not this layer.
    other = place("net_1/b02_expand_act_1/Relu6", operation="CONV_2D", weights=weights)
    assert other == Place("b02_expand_act", "b02", "backbone")
