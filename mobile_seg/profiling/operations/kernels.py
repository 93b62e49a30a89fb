"""Which of XNNPACK's kernels can stand for which TFLite operation.

XNNPACK names a kernel by what it computes and in which types (`Fully Connected (NC, QS8, QC8W) GEMM`). It keeps the
order of the operations, runs some as several kernels, and some as none. Sources: the names in
https://github.com/google/XNNPACK/blob/master/src/operator-utils.c, and the delegate that lowers TFLite's operations,
https://github.com/tensorflow/tensorflow/blob/v2.16.1/tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc.
"""

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_POOLS = ("MEAN", "AVERAGE_POOL_2D")
_COPIES = ("CONCATENATION", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SPLIT", "SLICE", "STRIDED_SLICE", "PACK")
_RECTIFIERS = ("RELU", "RELU6", "RELU_N1_TO_1")
_SMOOTH = ("ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "TANH")
_ROUNDED = ("CEIL", "FLOOR", "ROUND")
_POWERS = ("EXP", "LOG", "RSQRT", "SQRT", "SQUARE")
_UNARY = (*_RECTIFIERS, *_SMOOTH, *_ROUNDED, *_POWERS, "ABS", "COS", "NEG", "SIGN", "SIN")
_BINARY = ("ADD", "DIV", "MAXIMUM", "MINIMUM", "MUL", "POW", "SQUARED_DIFFERENCE", "SUB", "PRELU")

STANDS_FOR: dict[str, tuple[str, ...]] = {
    "Convolution": _CONVOLUTIONS,
    "Fully Connected": ("CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"),
    "Dynamic Fully Connected": ("FULLY_CONNECTED", "BATCH_MATMUL"),
    "Batch Matrix Multiply": ("BATCH_MATMUL", "FULLY_CONNECTED"),
    "Deconvolution": ("TRANSPOSE_CONV", "Convolution2DTransposeBias"),
    "Average Pooling": _POOLS,
    "Global Average Pooling": _POOLS,
    "Global Sum Pooling": ("SUM",),
    "Mean": _POOLS,
    "Sum": ("SUM",),
    "Reduce Max": ("REDUCE_MAX",),
    "Reduce Min": ("REDUCE_MIN",),
    "Max Pooling": ("MAX_POOL_2D", "MaxPoolingWithArgmax2D"),
    "ArgMax Pooling": ("MaxPoolingWithArgmax2D",),
    "Unpooling": ("MaxUnpooling2D",),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    "Softmax": ("SOFTMAX",),
    "Constant Pad": ("PAD", "PADV2"),
    "Copy": _COPIES,
    "Static Reshape": _COPIES,
    "Slice": ("SLICE", "STRIDED_SLICE", "SPLIT"),
    "Transpose": ("TRANSPOSE",),
    "Space To Depth": ("SPACE_TO_DEPTH",),
    "Depth To Space": ("DEPTH_TO_SPACE",),
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
    "Clamp": (*_RECTIFIERS, "MAXIMUM", "MINIMUM"),
    "Add": ("ADD",),
    "Subtract": ("SUB",),
    "Multiply": ("MUL",),
    "Divide": ("DIV",),
    "Maximum": ("MAXIMUM",),
    "Minimum": ("MINIMUM",),
    "Power": ("POW",),
    "Squared Difference": ("SQUARED_DIFFERENCE",),
    "PReLU": ("PRELU", "LEAKY_RELU"),
    "Sigmoid": ("LOGISTIC",),
    "HardSwish": ("HARD_SWISH",),
    "LeakyReLU": ("LEAKY_RELU",),
    "TanH": ("TANH",),
    "ELU": ("ELU",),
    "GELU": ("GELU",),
    "ApproxGELU": ("GELU",),
    "Abs": ("ABS",),
    "Negate": ("NEG",),
    "Square": ("SQUARE",),
    "Square Root": ("SQRT",),
    "Reciprocal Square Root": ("RSQRT",),
    "Bankers Rounding": ("ROUND",),
    "Bankders Rounding": ("ROUND",),
    "Ceiling": ("CEIL",),
    "Floor": ("FLOOR",),
    "Exp": ("EXP",),
    "Log": ("LOG",),
    "Sine": ("SIN",),
    "Cosine": ("COS",),
    "Sign": ("SIGN",),
    "Unary Elementwise": _UNARY,
    "Invalid Unary Op": _UNARY,
    "Binary Elementwise": _BINARY,
}
"""Kernel, without what stands in brackets and after them → the operations it may be the work of.

`Bankders` and `Invalid Unary Op` are how LiteRT 2.3 spells rounding and an 8-bit sigmoid by table.
"""

HELPERS = ("Clamp", "Copy", "Convert", "Constant Pad", "Transpose", "Static Reshape", "Slice", "Pack LH")
"""Kernels that may run beside another one for the same operation: an activation apart, a change of layout."""

MAY_VANISH = (
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "PAD",
    "PADV2",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "DEQUANTIZE",
    "DENSIFY",
    "QUANTIZE",
    "TRANSPOSE",
)
"""Operations that XNNPACK fuses into a neighbour, does when it loads the file, or need not do at all."""


def family(kernel: str) -> str:
    """Return what a kernel computes: `Convolution` of `Convolution (NHWC, QC8) DWConv`."""
    return kernel.split(" (")[0].strip()
