"""Weights as training could have left them, for measuring and testing a network that nobody has trained."""

import re
from typing import Any

import keras
import numpy as np


def as_if_trained(model: keras.Model, images: Any) -> keras.Model:
    """Give a freshly built network of ours normalization that training could have left, in place; return it.

    Its statistics are those of its activations, and blocks add little to what they pass on, as in trained
    networks. Random ones that do not are chaotic: one byte of the image, changed by one, moves every logit.
    What starts at zero has moved: a branch without values has no range. Where a small image leaves a level one
    pixel, a few samples make a channel look as if it hardly varied: none is taken to vary ten times less than its
    layer.

    Args:
        images: `[N, H, W, 3]`, 0..255, of the network's input size.
    """
    rng = np.random.default_rng(0)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        share = 0.1 if re.search(r"(?<!aspp)_(project|widen|second)_bn$", layer.name) else 1.0
        layer.gamma.assign(share * rng.uniform(0.5, 1.5, layer.gamma.shape))
        layer.beta.assign(share * rng.normal(0.0, 0.3, layer.gamma.shape))
    for variable in model.trainable_variables:
        if variable.path.endswith("kernel") and not np.any(variable):
            variable.assign(rng.normal(0.0, 0.02, variable.shape))
    usual = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # takes this batch's statistics
    model(np.asarray(images, np.float32), training=True)
    for layer, momentum in zip(norms, usual, strict=True):
        layer.momentum = momentum
        variance = np.asarray(layer.moving_variance)
        layer.moving_variance.assign(np.maximum(variance, variance.mean() / 100))
    return model
