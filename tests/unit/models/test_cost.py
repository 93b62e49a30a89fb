"""Counts of a network small enough to count on paper."""

import keras
import pytest
from keras import layers

from mobile_seg.errors import UnsupportedLayerError
from mobile_seg.layers import SwitchableAtrousConv2D
from mobile_seg.models.cost import Cost, count


def test_a_network_counted_by_hand() -> None:
    image = keras.Input((8, 10, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(image)  # 3*3*3*4 = 108; 4x5 pixels: 2160
    x = layers.ReLU()(layers.BatchNormalization()(x))  # 8 of scale and shift, no multiply-adds
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)  # 3*3*8 = 72 and 8 of bias; 2x3 pixels: 432
    x = layers.Conv2D(6, 1, groups=2)(x)  # 4*6 = 24 and 6 of bias; 6 pixels: 144
    x = layers.Dense(5)(layers.GlobalAveragePooling2D()(x))  # 30 and 5 of bias; 30
    assert count(keras.Model(image, x)) == Cost(params=108 + 8 + 80 + 30 + 35, macs=2160 + 432 + 144 + 30)


def test_a_dense_layer_counts_at_every_pixel() -> None:
    image = keras.Input((4, 5, 3))
    assert count(keras.Model(image, layers.Dense(2)(image))).macs == 4 * 5 * 6


def test_a_switchable_convolution_counts_twice_and_its_kernel_once() -> None:
    image = keras.Input((6, 7, 3))
    switch = layers.Conv2D(1, 1)(image)  # 3 and 1 of bias; 42 pixels: 126
    x = SwitchableAtrousConv2D(4)([image, switch])  # 3*3*3*4 = 108; twice at 42 pixels: 9072
    assert count(keras.Model(image, x)) == Cost(params=4 + 108, macs=126 + 9072)


@pytest.mark.parametrize("layer", [layers.Conv2DTranspose(2, 3), layers.SeparableConv2D(2, 3), layers.PReLU()])
def test_a_layer_of_unknown_cost_is_an_error_not_zero(layer: keras.layers.Layer) -> None:
    image = keras.Input((8, 8, 3))
    with pytest.raises(UnsupportedLayerError, match=rf"{layer.name} .*not known; add them to layer_macs"):
        count(keras.Model(image, layer(image)))
