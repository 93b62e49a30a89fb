"""A model as its calls."""

import keras
from keras import layers

from mobile_seg.calls import walk


def test_a_layer_stands_once_per_call_behind_what_it_reads() -> None:
    image = keras.Input((8, 8, 3), name="image")
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    small = layers.MaxPooling2D(name="pool")(image)
    model = keras.Model(image, [shared(image), layers.Add(name="sum")([shared(small), small])])
    calls = walk(model)
    named = [(call.layer.name, call.shape[1], call.returned) for call in calls]
    assert sorted(named) == [
        ("image", 8, False),
        ("pool", 4, False),
        ("shared", 4, False),
        ("shared", 8, True),
        ("sum", 4, True),
    ]
    assert all(source < place for place, call in enumerate(calls) for source in call.inputs)
    total = next(call for call in calls if call.layer.name == "sum")
    assert [(calls[at].layer.name, calls[at].shape[1]) for at in total.inputs] == [("shared", 4), ("pool", 4)]


def test_a_sequential_model_is_walked_too() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 1, name="conv"), layers.ReLU(name="act")])
    assert [call.layer.name for call in walk(model)][1:] == ["conv", "act"]
