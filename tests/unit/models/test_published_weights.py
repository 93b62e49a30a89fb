"""Our MobileNetV2 with DeepLabv3 is the published one: under its weights it computes what its file computes."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_seg.data.readers import read_image
from mobile_seg.imaging import resize_image

ROOT = Path(__file__).parents[3]
PEERS = Path(os.environ.get("MOBILE_SEG_PEERS", ROOT.parent / "shared" / "peers"))
FILE, BIRD = PEERS / "deeplabv3_257_mv_gpu.tflite", PEERS / "coral" / "bird_segmentation.bmp"

pytestmark = pytest.mark.skipif(
    not FILE.is_file() or not BIRD.is_file(),
    reason="no models of others: put some into a folder and name it in MOBILE_SEG_PEERS",
)


@pytest.fixture(scope="module")
def borrowed() -> Any:
    """The benchmark's module."""
    spec = importlib.util.spec_from_file_location("borrowed", ROOT / "benchmarks" / "borrowed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_computes_what_the_published_file_does_and_sees_a_bird(borrowed: Any) -> None:
    model = borrowed.borrowed(FILE)  # compares the logits of noise
    labels = FILE.with_suffix(".txt").read_text(encoding="utf-8").split("\n")
    found = np.asarray(model(resize_image(read_image(BIRD), borrowed.SIZE)[None].astype(np.float32))).argmax(-1)
    share = {labels[index]: np.mean(found == index) for index in np.unique(found)}
    assert set(share) == {"background", "bird"}
    assert share["bird"] > 0.1


def test_another_network_is_refused(borrowed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(borrowed.OPTIONS, "output_stride", 16)
    with pytest.raises(ValueError, match="is not the network mobilenet_v2_050"):
        borrowed.borrowed(FILE)
