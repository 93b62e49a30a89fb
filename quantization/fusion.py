"""Weighted fusion (fast normalized, arXiv:1911.09070, sec. 3.3) without products: shares go into what makes its inputs.

A share is a number that is not negative. It passes through what only chooses, averages or adds values, back to the
linear layer or normalization that made them.
"""

from typing import Any

import keras
import numpy as np

from mobile_seg.graph import GraphView, copy_layer, made_by
from mobile_seg.quantization.affine import Affine, folded
from mobile_seg.quantization.rules import is_pass_through


def share_in_front(graph: GraphView, tensor: Any, share: float) -> Any | None:
    """`tensor` times `share`, by layers that replace those in front of it; None if one of them has another reader.

    `graph` is the one being lowered: its names are those of the layers in front, but for the parts of a lowering.
    """
    layer, source = made_by(tensor)
    # Of such parts only the inner sums of a long one are passed, each read by the next alone.
    known = layer.name in graph.layers
    alone = graph.only_consumer(layer.name) is not None if known else type(layer) is keras.layers.Add
    if not alone:
        return None
    if not _keeps_shares(layer):
        return folded(tensor, Affine(np.full(1, share), np.zeros(1)))
    sources = source if isinstance(source, list) else [source]
    scaled = [share_in_front(graph, one, share) for one in sources]
    if any(one is None for one in scaled):
        return None
    return copy_layer(layer)(scaled if isinstance(source, list) else scaled[0])


def _keeps_shares(layer: Any) -> bool:
    """Whether the layer gives `share * y` for `share * x`."""
    if type(layer) is keras.layers.ReLU:
        return layer.max_value is None and not layer.threshold
    relu = type(layer) is keras.layers.Activation and layer.activation.__name__ == "relu"
    return relu or type(layer) is keras.layers.Add or is_pass_through(layer)
