"""How many images calibrate a network of which size."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mobile_seg.data import calibration
from mobile_seg.data.calibration import calibration_batches
from mobile_seg.data.description import load_dataset
from mobile_seg.data.toy import write_toy_dataset


@pytest.mark.parametrize(
    ("size", "images", "batch"),
    [((64, 96), 100, 10), ((256, 352), 100, 10), ((512, 512), 34, 3), ((512, 1024), 17, 2), ((2048, 2048), 16, 1)],
)
def test_large_images_are_fewer_and_in_smaller_batches(
    size: tuple[int, int], images: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(write_toy_dataset(tmp_path, train=4, val=1, size=(32, 32)))
    asked: list[int] = []

    def spread(pairs: Any, count: int) -> Any:
        asked.append(count)
        return list(pairs) * 3

    monkeypatch.setattr(calibration, "spread", spread)
    monkeypatch.setattr(calibration, "resize_image", lambda image, size: cv2.resize(image, (2, 2)))
    first = next(calibration_batches(dataset, size=size))
    assert asked == [images]
    assert first.shape == (batch, 2, 2, 3)
    assert first.dtype == np.float32
