"""Training batches without end, made in threads ahead of time, the same for the same seed."""

import functools
import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from mobile_seg.data.augment import Augmentation, augment
from mobile_seg.data.description import Dataset, Pair
from mobile_seg.data.readers import read_pair
from mobile_seg.errors import UsageError

CACHE_BYTES = 1 << 30
"""Decoded pairs are kept in memory up to this many bytes; those beyond are decoded each time."""

_ORDER, _VIEW = 0, 1  # the two independent uses of the seed

Batch = tuple[np.ndarray, np.ndarray]
_Pending = tuple[Batch, list["Future[None]"]]


class TrainStream:
    """Batches (images `[N, H, W, 3]` float32 RGB 0..255, labels `[N, H, W]` int32), endlessly.

    Batch number k is a function of the dataset, `seed`, `size`, `batch` and k alone: neither the
    number of threads nor where the stream was started changes it, so `start_step=k` resumes after k
    batches. Every epoch shows each image once, in its own order; batches run across the end of an
    epoch, so that a set smaller than a batch works as well.

    Use it as a context manager: leaving it stops the threads. An error in a thread (a DatasetError,
    say) is raised by the `next` that would have returned its batch, and closes the stream.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        size: tuple[int, int],
        batch: int,
        seed: int = 0,
        start_step: int = 0,
        augmentation: Augmentation | None = None,
        workers: int | None = None,
        prefetch: int = 4,
    ) -> None:
        """`size` is (height, width). `workers` threads (default: all cores) keep `prefetch` batches ready."""
        least = {"height": (size[0], 1), "width": (size[1], 1), "batch": (batch, 1), "seed": (seed, 0)}
        least |= {"start_step": (start_step, 0), "prefetch": (prefetch, 1)}
        least |= {"workers": (1 if workers is None else workers, 1)}
        for name, (value, minimum) in least.items():
            if value < minimum:
                raise UsageError(f"{name}={value}: give at least {minimum}")
        if not dataset.train:
            raise UsageError(f"{dataset.name} has no training images; list some under `train`")
        self._dataset, self._size, self._batch, self._seed = dataset, size, batch, seed
        self._augmentation = augmentation or Augmentation()
        self._workers = workers or os.cpu_count() or 1
        self._prefetch = prefetch
        self._step = start_step
        self._cache = _PairCache(dataset)
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: deque[_Pending] = deque()
        self._closed = False

    def __iter__(self) -> "TrainStream":
        return self

    def __next__(self) -> Batch:
        """Return the next batch, waiting for it if need be.

        Raises:
            DatasetError: if one of its files cannot be used.
            UsageError: if the stream is closed.
        """
        if self._closed:
            raise UsageError("this TrainStream is closed; make a new one with start_step set to go on")
        while len(self._ahead) <= self._prefetch:
            self._ahead.append(self._start(self._step))
            self._step += 1
        batch, tasks = self._ahead.popleft()
        try:
            for task in tasks:
                task.result()
        except BaseException:
            self.close()
            raise
        return batch

    def __enter__(self) -> "TrainStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and drop what they prepared; a second call does nothing."""
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
        self._ahead.clear()
        self._cache.clear()

    def _start(self, step: int) -> _Pending:
        """Let the threads make batch number `step`."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="mobile-seg-data")
        shape = (self._batch, *self._size)
        batch = np.empty((*shape, 3), np.float32), np.empty(shape, np.int32)
        tasks = [self._pool.submit(self._make, batch, step, place) for place in range(self._batch)]
        return batch, tasks

    def _make(self, batch: Batch, step: int, place: int) -> None:
        """Write one sample into its place in the batch."""
        number = step * self._batch + place
        epoch, position = divmod(number, len(self._dataset.train))
        order = _epoch_order(self._seed, epoch, len(self._dataset.train))
        image, label = self._cache.read(self._dataset.train[order[position]])
        rng = _generator(self._seed, _VIEW, number)
        batch[0][place], batch[1][place] = augment(
            image, label, size=self._size, augmentation=self._augmentation, rng=rng
        )


class _PairCache:
    """Decoded pairs, kept as long as they fit in `CACHE_BYTES`; shared by the threads."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._kept: dict[Pair, Batch] = {}
        self._free = CACHE_BYTES
        self._lock = threading.Lock()

    def read(self, pair: Pair) -> Batch:
        kept = self._kept.get(pair)
        if kept is not None:
            return kept
        image, label = read_pair(pair, self._dataset)
        with self._lock:
            if pair not in self._kept and image.nbytes + label.nbytes <= self._free:
                self._free -= image.nbytes + label.nbytes
                self._kept[pair] = image, label
        return image, label

    def clear(self) -> None:
        self._kept.clear()


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


@functools.lru_cache(maxsize=8)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return _generator(seed, _ORDER, epoch).permutation(count)
