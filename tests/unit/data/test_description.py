"""The dataset YAML: what it may say, and what is answered when it is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobile_seg.data.description import KEYS, default_palette, load_dataset
from mobile_seg.data.readers import check_dataset, read_label
from mobile_seg.errors import DatasetError, UsageError

Describe = Callable[[str], Path]
BASE = "train: train\nval: val\nnames: [sky, road, car]\n"
REPOSITORY = Path(__file__).parents[3]


def test_folders(folder: Path) -> None:
    dataset = load_dataset(folder / "set.yaml")
    assert dataset.name == "set"
    assert dataset.classes == ("sky", "road", "car")
    assert dataset.label_mapping == ()
    assert [pair.image.name for pair in dataset.train] == [f"{number}.jpg" for number in range(5)]
    assert all(pair.label == pair.image.parents[1] / "labels" / f"{pair.image.stem}.png" for pair in dataset.train)
    assert len(dataset.val) == 2


def test_path_is_relative_to_the_yaml(folder: Path) -> None:
    elsewhere = folder / "configs" / "deep" / "set.yaml"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text("path: ../..\n" + BASE, encoding="utf-8")
    assert len(load_dataset(elsewhere).train) == 5


def test_images_first_layout_and_sub_folders(folder: Path, describe: Describe) -> None:
    for kind, name in (("images", "pictures"), ("labels", "masks")):
        for split in ("train", "val"):
            (folder / name / split).mkdir(parents=True)
            shutil.move(folder / split / kind, folder / name / split / "berlin")
    dataset = load_dataset(describe(BASE + "images: pictures\nlabels: masks\n"))
    assert dataset.train[0].image == folder / "pictures" / "train" / "berlin" / "0.jpg"
    assert dataset.train[0].label == folder / "masks" / "train" / "berlin" / "0.png"
    check_dataset(dataset)


def test_lists_keep_their_order(folder: Path, describe: Describe) -> None:
    lines = ["train/images/3.jpg", "train/images/1.jpg train/labels/0.png", ""]
    (folder / "some.txt").write_text("\n".join(lines), encoding="utf-8")
    dataset = load_dataset(describe("train: some.txt\nval: [val/images/1.jpg]\nnames: {1: road, 0: sky, 2: car}\n"))
    assert [pair.image.name for pair in dataset.train] == ["3.jpg", "1.jpg"]
    assert [pair.label.name for pair in dataset.train] == ["3.png", "0.png"]
    assert dataset.val[0].label == folder / "val" / "labels" / "1.png"
    assert dataset.classes == ("sky", "road", "car")


def test_list_line_with_a_space_in_the_path(folder: Path, describe: Describe) -> None:
    for kind, suffix in (("images", "jpg"), ("labels", "png")):
        shutil.move(folder / "train" / kind / f"0.{suffix}", folder / "train" / kind / f"a b.{suffix}")
    dataset = load_dataset(describe("train: [train/images/a b.jpg]\nval: val\nnames: [sky, road, car]\n"))
    assert dataset.train[0].label.name == "a b.png"


def test_ignore_and_mapping_become_one_table(describe: Describe) -> None:
    assert load_dataset(describe(BASE + "ignore: 255\n")).label_mapping == ()
    assert load_dataset(describe(BASE + "ignore: [11, 12]\n")).label_mapping == (
        (0, 0),
        (1, 1),
        (2, 2),
        (11, 255),
        (12, 255),
    )
    dataset = load_dataset(describe(BASE + "label_mapping: {7: 1, 26: 2, 4: 255}\nignore: 0\n"))
    assert dataset.label_mapping == ((0, 255), (4, 255), (7, 1), (26, 2))
    assert dataset.ignore == 255


def test_palette() -> None:
    assert len(set(default_palette(255))) == 255
    assert (0, 0, 0) not in default_palette(255)
    assert default_palette(20)[:5] == default_palette(5)


def test_palette_is_taken_from_the_yaml(describe: Describe) -> None:
    dataset = load_dataset(describe(BASE + "palette: [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n"))
    assert dataset.palette == ((1, 2, 3), (4, 5, 6), (7, 8, 9))


def test_unknown_key_names_the_nearest_and_the_accepted(describe: Describe) -> None:
    with pytest.raises(UsageError) as caught:
        load_dataset(describe(BASE + "label_maping: {1: 0}\n"))
    message = str(caught.value)
    assert "'label_maping'" in message
    assert "Did you mean 'label_mapping'" in message
    assert all(key in message for key in KEYS)
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: train\nnames: [a]\n", "missing val"),
        ("", "holds nothing"),
        ("- a\n- b\n", "holds list"),
        ("train: [a\n", "not valid YAML"),
        (BASE + "train: val\n", "'train' is given twice"),
        ("train: 3\nval: val\nnames: [a]\n", "train must be a folder"),
        ("train: []\nval: val\nnames: [a]\n", "train must be a folder"),
        ("train: train\nval: val\nnames: 3\n", "names must be"),
        ("train: train\nval: val\nnames: []\n", "names must be"),
        ("train: train\nval: val\nnames: [yes, road]\n", "in quotes"),
        ("train: train\nval: val\nnames: {0: a, 2: b}\n", "ids 0 to 1"),
        ("train: train\nval: val\nnames: [car, road, car]\n", "'car' more than once"),
        (BASE + "path: 7\n", "path must be text"),
        (BASE + "palette: [[0, 0, 0]]\n", "1 colours for 3 names"),
        (BASE + "palette: [[0, 0, 0], [1, 1, 1], [0, 0, 256]]\n", r"palette\[2\]"),
        (BASE + "palette: red\n", "palette must be"),
        (BASE + "label_mapping: [1, 2]\n", "label_mapping must be"),
        (BASE + "label_mapping: {7: 3}\n", "sends 7 to 3"),
        (BASE + "label_mapping: {-1: 0}\n", "raw value -1"),
        (BASE + "label_mapping: {7: true}\n", "sends 7 to True"),
        (BASE + "ignore: none\n", "ignore is 'none'"),
        (BASE + "label_mapping: {7: 1}\nignore: 7\n", "in ignore and mapped to class 1"),
    ],
)
def test_what_is_wrong_in_the_yaml(describe: Describe, text: str, says: str) -> None:
    path = describe(text)
    with pytest.raises(UsageError, match=says) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_yaml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_dataset(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path: nowhere\n" + BASE, "nowhere does not exist"),
        ("train: trian\nval: val\nnames: [a]\n", "neither .*trian"),
        (BASE + "labels: masks\n", "masks is not a folder"),
        ("train: absent.txt\nval: val\nnames: [a]\n", r"absent.txt cannot be read"),
        ("train: [train/images/9.jpg]\nval: val\nnames: [a]\n", "1 of the 1 images listed do not exist"),
        ("train: [train/images/0.jpg x.png]\nval: val\nnames: [a]\n", "1 of the 1 labels listed do not exist"),
        ("train: [a.jpg]\nval: val\nnames: [a]\n", "no folder 'images'"),
    ],
)
def test_what_is_wrong_on_the_disk(describe: Describe, text: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says) as caught:
        load_dataset(describe(text))
    assert "\n" not in str(caught.value)


def test_no_image_says_where_and_for_what_it_looked(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "images")
    (folder / "train" / "images").mkdir()
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder / "set.yaml")
    assert str(folder / "train" / "images") in str(caught.value)
    assert ".jpg" in str(caught.value)


def test_zero_matching_pairs_gives_an_example(folder: Path) -> None:
    for label in (folder / "train" / "labels").iterdir():
        label.rename(label.with_name(label.stem + "_mask.png"))
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder / "set.yaml")
    message = str(caught.value)
    assert "none of the 5 images" in message
    assert "0.jpg" in message
    assert str(folder / "train" / "labels" / "0.png") in message


def test_one_image_without_a_label_is_not_dropped(folder: Path) -> None:
    (folder / "train" / "labels" / "3.png").unlink()
    with pytest.raises(DatasetError, match=r"only 4 of the 5 images .* 3\.jpg"):
        load_dataset(folder / "set.yaml")


def test_two_images_with_one_label(folder: Path) -> None:
    shutil.copy(folder / "train" / "images" / "0.jpg", folder / "train" / "images" / "0.png")
    with pytest.raises(DatasetError, match="would share the label"):
        load_dataset(folder / "set.yaml")


def test_camvid_as_it_is() -> None:
    if not (REPOSITORY / "../shared/data/camvid").is_dir():
        pytest.skip("../shared/data/camvid is not on this machine")
    dataset = load_dataset(REPOSITORY / "benchmarks" / "camvid.yaml")
    assert (len(dataset.train), len(dataset.val), len(dataset.classes)) == (367, 62, 11)
    assert set(np.unique(read_label(dataset.val[0].label, dataset))) <= {*range(11), 255}
