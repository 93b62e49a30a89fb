"""The toy dataset: the same seed draws the same street; labels and instances agree."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mobile_seg.data.description import load_dataset
from mobile_seg.data.readers import check_dataset, read_label
from mobile_seg.data.toy import CLASSES, PALETTE, THINGS, draw_scene, write_toy_dataset
from mobile_seg.errors import UsageError

SIZE = (96, 128)


def test_same_seed_same_pixels() -> None:
    one, other = draw_scene(5, SIZE), draw_scene(5, SIZE)
    for field in ("image", "labels", "instances"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert not np.array_equal(one.image, draw_scene(6, SIZE).image)


def test_every_class_is_drawn_and_things_alone_have_instances() -> None:
    things = [CLASSES.index(name) for name in THINGS]
    seen: set[int] = set()
    for seed in range(6):
        scene = draw_scene(seed, SIZE)
        assert scene.image.shape == (*SIZE, 3)
        assert [pixels.dtype.name for pixels in (scene.image, scene.labels, scene.instances)] == [
            "uint8",
            "uint8",
            "int32",
        ]
        np.testing.assert_array_equal(scene.instances > 0, np.isin(scene.labels, things))
        ids = np.unique(scene.instances[scene.instances > 0])
        np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
        for instance in ids:
            assert len(np.unique(scene.labels[scene.instances == instance])) == 1
        seen |= set(np.unique(scene.labels).tolist())
    assert seen == set(range(len(CLASSES)))


@pytest.mark.parametrize("size", [(32, 32), (75, 201)])
def test_any_size(size: tuple[int, int]) -> None:
    assert draw_scene(0, size).labels.shape == size


def test_written_dataset_loads_and_is_the_same_twice(tmp_path: Path) -> None:
    paths = [write_toy_dataset(tmp_path / name, train=3, val=2, size=SIZE, seed=1) for name in ("a", "b")]
    written = [
        {file.relative_to(path.parent): file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}
        for path in paths
    ]
    assert written[0] == written[1]
    assert len(written[0]) == 5 * 3 + 1
    dataset = load_dataset(paths[0])
    assert (len(dataset.train), len(dataset.val)) == (3, 2)
    assert dataset.classes == CLASSES
    assert dataset.palette == PALETTE
    check_dataset(dataset)
    scene = draw_scene((1, 3), SIZE)
    np.testing.assert_array_equal(read_label(dataset.val[0].label, dataset), scene.labels)
    instances = PIL.Image.open(tmp_path / "a" / "val" / "instances" / f"{dataset.val[0].image.stem}.png")
    assert instances.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(instances), scene.instances)


def test_writing_again_replaces_and_strangers_are_refused(tmp_path: Path) -> None:
    write_toy_dataset(tmp_path, train=2, val=1, size=(32, 32))
    write_toy_dataset(tmp_path, train=2, val=1, size=(32, 32), seed=3)
    with pytest.raises(UsageError, match=r"already holds other files, such as .*scene_00001\.jpg"):
        write_toy_dataset(tmp_path, train=1, val=1, size=(32, 32))


@pytest.mark.parametrize("wrong", [{"train": 0}, {"val": 0}, {"size": (0, 8)}, {"seed": -1}])
def test_numbers_out_of_range(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="give"):
        write_toy_dataset(tmp_path, **wrong)  # type: ignore[arg-type]
