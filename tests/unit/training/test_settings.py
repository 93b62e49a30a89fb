"""The key that ties a checkpoint to its settings."""

import dataclasses
from pathlib import Path

import pytest

from mobile_seg.data.description import Dataset, Pair
from mobile_seg.training.recipe import Recipe
from mobile_seg.training.settings import dataset_digest, differing, settings_key

DATASET = Dataset(
    name="set",
    classes=("sky", "road"),
    palette=((0, 0, 0), (1, 1, 1)),
    train=(Pair(Path("a/1.jpg"), Path("b/1.png")), Pair(Path("a/2.jpg"), Path("b/2.png"))),
    val=(),
)


def test_the_key_does_not_change_between_releases() -> None:
    """A run that is under way must go on after an upgrade: this text is an interface."""
    key = settings_key(model="m", input_size=(8, 16), options={"rates": (2, 4)}, data="d", recipe=Recipe(steps=10))
    assert key == (
        '{"data": "d", "input_size": [8, 16], "model": "m", "options": {"rates": [2, 4]}, "recipe": '
        "\"Recipe(steps=10, batch=8, optimizer='sgd', learning_rate=0.05, momentum=0.9, weight_decay=4e-05, "
        'clip_norm=0.0, warmup=0.05, ema_decay=0.9998, label_smoothing=0.0, seed=0)"}'
    )


def test_what_differs_is_named() -> None:
    assert differing(settings_key(a=1, b=2), settings_key(b=3, c=None, a=1)) == ("b",)
    assert differing(settings_key(a=1, b=2), settings_key(a=2, c=4)) == ("a", "b", "c")
    assert differing("some text", settings_key(a=1)) == ()
    assert differing("[1]", settings_key(a=1)) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("sky", "street")},
        {"classes": ("sky", "road", "car"), "palette": ((0, 0, 0),) * 3},
        {"label_mapping": ((0, 1), (1, 0))},
        {"train": DATASET.train[:1]},
        {"train": DATASET.train[::-1]},
    ],
)
def test_what_decides_the_training_changes_the_digest(change: dict[str, object]) -> None:
    assert dataset_digest(dataclasses.replace(DATASET, **change)) != dataset_digest(DATASET)


def test_where_the_files_lie_and_how_they_are_painted_does_not() -> None:
    moved = tuple(Pair(Path("c") / pair.image, Path("c") / pair.label) for pair in DATASET.train)
    other = dataclasses.replace(DATASET, name="other", train=moved, palette=((9, 9, 9), (8, 8, 8)), val=moved)
    assert dataset_digest(other) == dataset_digest(DATASET)
