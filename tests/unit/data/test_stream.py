"""The training stream: the same batches for the same seed, wherever it starts and however many threads."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mobile_seg.data import stream as stream_module
from mobile_seg.data.augment import Augmentation
from mobile_seg.data.description import Dataset, Pair, load_dataset
from mobile_seg.data.readers import read_pair
from mobile_seg.data.stream import Batch, TrainStream
from mobile_seg.errors import DatasetError, UsageError

SIZE = (16, 24)
STILL = Augmentation(scale=(1.0, 1.0), flip=False, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return load_dataset(folder / "set.yaml")


def take(dataset: Dataset, count: int, **options: int) -> list[Batch]:
    with TrainStream(dataset, size=SIZE, **{"batch": 3, **options}) as batches:  # type: ignore[arg-type]
        return [next(batches) for _ in range(count)]


def assert_same(left: list[Batch], right: list[Batch]) -> None:
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def data_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mobile-seg-data")]


def test_shapes_and_types(dataset: Dataset) -> None:
    images, labels = take(dataset, 1)[0]
    assert images.shape == (3, *SIZE, 3)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert 100 < images.max() <= 255
    assert labels.shape == (3, *SIZE)
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) <= {0, 1, 2, 255}


def test_same_seed_same_batches_for_any_number_of_threads(dataset: Dataset) -> None:
    assert_same(take(dataset, 6, workers=1, prefetch=1), take(dataset, 6, workers=7, prefetch=5))


def test_another_seed_other_batches(dataset: Dataset) -> None:
    assert not np.array_equal(take(dataset, 1, seed=0)[0][0], take(dataset, 1, seed=1)[0][0])


@pytest.mark.parametrize("start", [1, 4])
def test_resuming_equals_skipping(dataset: Dataset, start: int) -> None:
    assert_same(take(dataset, 6)[start:], take(dataset, 6 - start, start_step=start))


def test_every_epoch_shows_every_image_once_in_another_order(dataset: Dataset) -> None:
    seen: list[bytes] = []
    with TrainStream(dataset, size=SIZE, batch=2, augmentation=STILL) as batches:
        for _ in range(10):
            seen += [image.tobytes() for image in next(batches)[0]]
    epochs = [seen[begin : begin + 5] for begin in range(0, 20, 5)]
    assert all(set(epoch) == set(seen) and len(set(epoch)) == 5 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_same_image_is_seen_differently_each_time(dataset: Dataset) -> None:
    images = np.concatenate([batch[0] for batch in take(dataset, 4, batch=5)])
    assert len({image.tobytes() for image in images}) == 20


def test_fewer_images_than_a_batch(dataset: Dataset) -> None:
    assert take(dataset, 2, batch=12)[1][0].shape == (12, *SIZE, 3)


def test_batches_are_the_same_when_nothing_fits_the_cache(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = take(dataset, 4)
    monkeypatch.setattr(stream_module, "CACHE_BYTES", 0)
    assert_same(kept, take(dataset, 4))


def test_cached_images_are_read_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []

    def counting(pair: Pair, described: Dataset) -> Batch:
        reads.append(pair.image)
        return read_pair(pair, described)

    monkeypatch.setattr(stream_module, "read_pair", counting)
    take(dataset, 8, workers=1)
    assert sorted(reads) == sorted({pair.image for pair in dataset.train})


def test_error_in_a_thread_reaches_the_consumer(dataset: Dataset) -> None:
    dataset.train[2].image.write_bytes(b"nothing")

    def epoch() -> Iterator[Batch]:
        with TrainStream(dataset, size=SIZE, batch=1) as batches:
            for _ in range(5):
                yield next(batches)

    with pytest.raises(DatasetError, match=r"2\.jpg"):
        list(epoch())
    assert data_threads() == []


def test_threads_are_gone_after_leaving(dataset: Dataset) -> None:
    with TrainStream(dataset, size=SIZE, batch=2, workers=3) as batches:
        assert data_threads() == []  # nothing starts before the first batch is asked for
        next(batches)
        assert data_threads() != []
    assert data_threads() == []
    with pytest.raises(UsageError, match="closed"):
        next(batches)
    batches.close()


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"seed": -1}, {"start_step": -1}, {"workers": 0}, {"prefetch": 0}, {"size": (0, 8)}]
)
def test_numbers_out_of_range(dataset: Dataset, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="give at least"):
        TrainStream(dataset, **{"size": SIZE, "batch": 2, **wrong})  # type: ignore[arg-type]
