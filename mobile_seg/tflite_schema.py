"""The part of TFLite's `schema.fbs` (version 3) that is looked at, as data for `flat_tables`."""

import functools
from typing import Any

from mobile_seg.errors import MissingExtraError
from mobile_seg.flat_tables import Schema, Type

IDENTIFIER = b"TFL3"
CUSTOM = 32
"""Number of the operation that stands for every custom one."""

PADDINGS = {0: "SAME", 1: "VALID"}
ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
MIRRORS = {0: "REFLECT", 1: "SYMMETRIC"}

_STRIDE = (("stride_w", "int32"), ("stride_h", "int32"))
_DILATION = (("dilation_w_factor", "int32"), ("dilation_h_factor", "int32"))
_PADDING: tuple[str, Type] = ("padding", PADDINGS)
_ACTIVATION: tuple[str, Type] = ("fused_activation_function", ACTIVATIONS)

TABLES: Schema = {
    "Model": (
        ("version", "uint32"),
        ("operator_codes", "[OperatorCode]"),
        ("subgraphs", "[SubGraph]"),
        ("description", "string"),
        ("buffers", "[Buffer]"),
        ("metadata_buffer", "[int32]"),
        ("metadata", "[Metadata]"),
        ("signature_defs", "[SignatureDef]"),
    ),
    "OperatorCode": (
        ("deprecated_builtin_code", "int8"),
        ("custom_code", "string"),
        ("version", "int32"),
        ("builtin_code", "int32"),
    ),
    "SubGraph": (
        ("tensors", "[Tensor]"),
        ("inputs", "[int32]"),
        ("outputs", "[int32]"),
        ("operators", "[Operator]"),
        ("name", "string"),
    ),
    "Tensor": (
        ("shape", "[int32]"),
        ("type", "int8"),
        ("buffer", "uint32"),
        ("name", "string"),
        ("quantization", "Quantization"),
        ("is_variable", "bool"),
        ("sparsity", "Empty"),
        ("shape_signature", "[int32]"),
    ),
    "Quantization": (
        ("min", "[float32]"),
        ("max", "[float32]"),
        ("scale", "[float32]"),
        ("zero_point", "[int64]"),
        ("details_type", "uint8"),
        ("details", ("Empty", "Empty")),
        ("quantized_dimension", "int32"),
    ),
    "Buffer": (("data", "[bytes]"), ("offset", "uint64"), ("size", "uint64")),
    "Metadata": (("name", "string"), ("buffer", "uint32")),
    "SignatureDef": (("inputs", "[TensorMap]"), ("outputs", "[TensorMap]"), ("signature_key", "string")),
    "TensorMap": (("name", "string"), ("tensor_index", "uint32")),
    "Empty": (),
}

OPTIONS: Schema = {
    "AddOptions": (_ACTIVATION,),
    "ArgMaxOptions": (("output_type", "int8"),),
    "ArgMinOptions": (("output_type", "int8"),),
    "BatchMatMulOptions": (("adj_x", "bool"), ("adj_y", "bool")),
    "ConcatenationOptions": (("axis", "int32"), _ACTIVATION),
    "Conv2DOptions": (_PADDING, *_STRIDE, _ACTIVATION, *_DILATION),
    "DepthToSpaceOptions": (("block_size", "int32"),),
    "DepthwiseConv2DOptions": (_PADDING, *_STRIDE, ("depth_multiplier", "int32"), _ACTIVATION, *_DILATION),
    "DivOptions": (_ACTIVATION,),
    "FullyConnectedOptions": (_ACTIVATION, ("weights_format", "int8"), ("keep_num_dims", "bool")),
    "LeakyReluOptions": (("alpha", "float32"),),
    "MirrorPadOptions": (("mode", MIRRORS),),
    "MulOptions": (_ACTIVATION,),
    "PackOptions": (("values_count", "int32"), ("axis", "int32")),
    "Pool2DOptions": (_PADDING, *_STRIDE, ("filter_width", "int32"), ("filter_height", "int32"), _ACTIVATION),
    "ReducerOptions": (("keep_dims", "bool"),),
    "ReshapeOptions": (("new_shape", "[int32]"),),
    "ResizeBilinearOptions": (
        ("new_height", "int32"),
        ("new_width", "int32"),
        ("align_corners", "bool"),
        ("half_pixel_centers", "bool"),
    ),
    "ResizeNearestNeighborOptions": (("align_corners", "bool"), ("half_pixel_centers", "bool")),
    "SoftmaxOptions": (("beta", "float32"),),
    "SpaceToDepthOptions": (("block_size", "int32"),),
    "SplitOptions": (("num_splits", "int32"),),
    "StridedSliceOptions": (
        ("begin_mask", "int32"),
        ("end_mask", "int32"),
        ("ellipsis_mask", "int32"),
        ("new_axis_mask", "int32"),
        ("shrink_axis_mask", "int32"),
        ("offset", "bool"),
    ),
    "SubOptions": (_ACTIVATION,),
    "TransposeConvOptions": (_PADDING, *_STRIDE, _ACTIVATION),
    "UnpackOptions": (("num", "int32"), ("axis", "int32")),
}
"""Options that some rule reads; an operation whose options are not here has none to us."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "Conv2DOptions": {"dilation_w_factor": 1, "dilation_h_factor": 1},
    "DepthwiseConv2DOptions": {"dilation_w_factor": 1, "dilation_h_factor": 1},
}
"""Values of absent fields, where they are not zero, false or the enumeration's first."""


@functools.cache
def schema() -> Schema:
    """Return all tables, `Operator` included, whose options are a union in LiteRT's order.

    Raises:
        MissingExtraError: if LiteRT, which holds that order, is not installed.
    """
    numbers = names("BuiltinOptions")
    union = tuple(numbers[number] for number in range(1, len(numbers)))
    operator: tuple[tuple[str, Type], ...] = (
        ("opcode_index", "uint32"),
        ("inputs", "[int32]"),
        ("outputs", "[int32]"),
        ("builtin_options_type", "uint8"),
        ("builtin_options", union),
        ("custom_options", "[bytes]"),
    )
    return {**dict.fromkeys(union, ()), **TABLES, **OPTIONS, "Operator": operator}


@functools.cache
def names(enumeration: str) -> dict[int, str]:
    """Return number → name of one of the schema's enumerations.

    Raises:
        MissingExtraError: if LiteRT is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingExtraError(
            "the names of operations stand in LiteRT; install it with: pip install ai-edge-litert"
        ) from error
    found = vars(getattr(schema_py_generated, enumeration))
    return {number: name for name, number in found.items() if isinstance(number, int)}
