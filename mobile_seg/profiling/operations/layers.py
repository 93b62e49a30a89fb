"""From a tensor's name to the layer, the block and the part of the network that it belongs to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PARTS_BY_OPERATION = {
    "QUANTIZE": "quantize",
    "DEQUANTIZE": "quantize",
    "CAST": "quantize",
    "ARG_MAX": "argmax",
}
"""Operations that are a part by themselves, whatever their names."""

RESIZES = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")

STAGES = (
    (re.compile(r"stem"), "stem"),
    (re.compile(r"b\d+|c\d+|conv\d+(?:b\d+|r\d+)?|final"), "backbone"),
    (re.compile(r"(?:semantic|instance)?aspp|lraspp"), "aspp"),
    (re.compile(r"p\d+|fusion|decoder|head|class|box|centre|offset|(?:semantic|instance)\d*"), "head"),
)
"""First word of a layer's name (`b07` in `b07_expand_conv`) → the part of the network; the word names the block."""

UNIQUE = re.compile(r"_\d+$")
"""What Keras appends to a scope when a layer is called again on export; no layer of ours ends so."""

COMPUTING = ("convolution", "depthwise", "conv2d", "depthwiseconv2d", "conv2d_transpose", "matmul")
"""Last words of a path, without digits and in small letters, that say: this is the layer with the weights."""

FOLDED = ("ReadVariableOp", "batchnorm")
"""Words in the paths of what is folded into a layer: its variables, its normalization."""

NOWHERE = "network"
"""The part of what no name places."""

WRAPPERS = ("StatefulPartitionedCall",)


@dataclass(frozen=True)
class Place:
    """Where an operation stands: its layer, and the block and part that the layer is in."""

    layer: str
    block: str
    part: str


def place(tensor: str, *, operation: str, weights: Sequence[str] = ()) -> Place:
    """Say where the operation that writes `tensor` and reads constants called `weights` stands.

    1. A converter joins the names of fused layers by `;`, the last computed first. In a network of ours
       (`net_1/b06_expand_act_1/Relu6;net_1/b06_expand_conv_1/convolution`) the block is the first one's, and the
       layer is the one of that block that has the weights, `b06_expand_conv`; its first word is the block, and
       `STAGES` says the part. Where the output's name does not say it, the weights' names do.
    2. QUANTIZE, DEQUANTIZE and CAST are the part `quantize`, ARG_MAX is `argmax`.
    3. Names of others: the layer is the path without its last word, the block its first two words, the part its
       first word, a resize the part `resize`. A name without a path is layer and block, and its part `network`.

    Any name gives an answer; an empty one gives the operation's.
    """
    part = PARTS_BY_OPERATION.get(operation)
    paths = [path for name in (tensor, *weights) for path in name.split(";")]
    ours = [(layer, path) for path in paths if (layer := _ours(path)) is not None]
    if ours:
        block = _first_word(ours[0][0])
        layer = _computing([(one, path) for one, path in ours if _first_word(one) == block])
        return Place(layer, block, part or _stage(block) or NOWHERE)
    found = _of_others(tensor.split(";")[0], operation)
    return Place(found.layer, found.block, part or found.part)


def _computing(layers: Sequence[tuple[str, str]]) -> str:
    """The layer with the weights; without any, the first computed."""
    for layer, path in layers:
        if path.split("/")[-1].rstrip("0123456789").lower() in COMPUTING:
            return layer
    plain = [layer for layer, path in layers if not any(word in path for word in FOLDED)]
    return plain[-1] if plain else layers[0][0]


def _ours(path: str) -> str | None:
    """The layer of a path, if one of its words is named as we name layers."""
    for word in path.split("/"):
        layer = UNIQUE.sub("", word)
        if "_" in layer and _stage(_first_word(layer)):
            return layer
    return None


def _first_word(layer: str) -> str:
    return layer.split("_")[0]


def _stage(block: str) -> str | None:
    return next((part for pattern, part in STAGES if pattern.fullmatch(block)), None)


def _of_others(name: str, operation: str) -> Place:
    words = [word for word in name.split("/") if word and word not in WRAPPERS]
    path = words[:-1] if len(words) > 1 else words
    if not path:
        return Place(operation, operation, "resize" if operation in RESIZES else NOWHERE)
    part = "resize" if operation in RESIZES else path[0] if len(words) > 1 else NOWHERE
    return Place("/".join(path), "/".join(path[:2]), part)
