"""What people get wrong: each is one clear line and an exit code, in Python one class of error."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from e2e.conftest import NETWORK, Models, complaint, mobile_seg

import mobile_seg as package
from mobile_seg.data.toy import CLASSES
from mobile_seg.errors import ArtifactError, DatasetError, UsageError
from mobile_seg.training.recipe import Recipe

SMALL = {"aspp_rates": (2, 4), "aspp_width": 32}


def train(data: Path, folder: Path, *, size: tuple[int, int] = (64, 64)) -> Path:
    """Call `mobile_seg.train` with the real network."""
    return package.train(
        data,
        model="mobile_spinenet_s49_minus",
        input_size=size,
        folder=folder,
        recipe=Recipe(steps=2, batch=2),
        options=SMALL,
    )


def files(data: Path, split: str, kind: str) -> list[Path]:
    return sorted((data.parent / split / kind).iterdir())


def test_a_yaml_with_an_unknown_key(toy: Path, tmp_path: Path, models: Models) -> None:
    toy.write_text(toy.read_text() + "label_maping: {0: 1}\n")
    with pytest.raises(UsageError, match="label_maping"):
        train(toy, tmp_path / "run")
    for words in (("train", *NETWORK, "--runs-dir", tmp_path / "runs"), ("eval", models.tflite)):
        line = complaint(mobile_seg(*words, "--data", toy), 2)
        assert "'label_maping'" in line
        assert "Did you mean 'label_mapping'?" in line
    assert not (tmp_path / "runs").exists()


def test_a_truncated_image_and_a_label_of_another_size(toy: Path, tmp_path: Path) -> None:
    image, label = files(toy, "train", "images")[2], files(toy, "val", "labels")[1]
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    PIL.Image.fromarray(np.zeros((64, 60), np.uint8)).save(label)
    with pytest.raises(DatasetError) as caught:
        train(toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()

    ran = mobile_seg("train", *NETWORK, "--data", toy, "--runs-dir", tmp_path / "runs")
    assert ran.code == 1
    for text in (str(caught.value), ran.err):
        lines = [line for line in text.splitlines() if line.startswith("  ")]
        assert len(lines) == 2  # a line for each file, the files of both splits
        assert image.name in lines[0]
        assert "cut short" in lines[0] or "truncated" in lines[0]
        assert label.name in lines[1]
        assert "64x64" in lines[1]
        assert "60x64" in lines[1]
    assert "error: toy: 2 of 10 image and label pairs cannot be used:" in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "runs").exists()


def test_a_label_value_outside_the_classes(toy: Path, models: Models) -> None:
    label = files(toy, "val", "labels")[0]
    values = np.array(PIL.Image.open(io.BytesIO(label.read_bytes())))
    values[5, 7] = len(CLASSES)
    PIL.Image.fromarray(values).save(label)
    with pytest.raises(DatasetError, match=rf"{label.name}: the value {len(CLASSES)} at x=7, y=5"):
        package.evaluate(models.tflite, data=toy)
    line = complaint(mobile_seg("eval", models.tflite, "--data", toy), 1)
    assert f"{label}: the value {len(CLASSES)} at x=7, y=5 is neither one of the {len(CLASSES)} classes" in line
    assert "label_mapping" in line


@pytest.mark.parametrize(("kind", "said"), [("images", "no image in"), ("labels", "none of the 8 images")])
def test_zero_matching_pairs(toy: Path, tmp_path: Path, models: Models, kind: str, said: str) -> None:
    for file in files(toy, "train", kind):
        file.unlink()
    with pytest.raises(DatasetError, match=said):
        package.quantize(models.keras, data=toy, folder=tmp_path / "run")
    line = complaint(mobile_seg("quantize", models.keras, "--data", toy, "--out", tmp_path / "run"), 1)
    assert said in line
    assert str(toy.parent / "train" / kind) in line


@pytest.mark.parametrize("kind", ["tflite", "keras"])
def test_a_model_file_cut_in_half(tmp_path: Path, models: Models, kind: str) -> None:
    whole = models.tflite if kind == "tflite" else models.keras
    half = tmp_path / f"half.{kind}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ArtifactError, match="cut short"):
        package.evaluate(half, data=models.data)
    with pytest.raises(ArtifactError, match="cut short"):
        package.predict(half, [np.zeros((64, 64, 3), np.uint8)])
    pictures = models.data.parent / "val" / "images"
    commands = [("eval", half, "--data", models.data), ("predict", half, pictures, "--out", tmp_path / "painted")]
    if kind == "tflite":
        commands.append(("profile", half, "--data", models.data))
    else:
        commands.append(("export", half, "--data", models.data, "--out", tmp_path / "artifacts"))
    for words in commands:
        line = complaint(mobile_seg(*words), 1)
        assert str(half) in line
        assert "cut short" in line
    assert list(tmp_path.iterdir()) == [half]


def test_a_tflite_whose_end_is_whole_but_whose_middle_is_gone(tmp_path: Path, models: Models) -> None:
    """The manifest stands at the end: it alone does not vouch for the rest."""
    content = models.tflite.read_bytes()
    start = content.index(b"PK\x03\x04")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content[: start // 2] + content[start:])
    with pytest.raises(ArtifactError, match="export it again"):
        package.evaluate(broken, data=models.data)
    assert str(broken) in complaint(mobile_seg("eval", broken, "--data", models.data), 1)


@pytest.mark.parametrize("name", ["train", "run"])
def test_an_input_size_that_does_not_divide(toy: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="the nearest that works is 64x96"):
        train(toy, tmp_path / "run", size=(64, 100))
    words = [word if word != "64x64" else "64x100" for word in NETWORK]
    line = complaint(mobile_seg(name, *words, "--data", toy, "--runs-dir", tmp_path / "runs"), 2)
    assert "input size 64x100 does not divide" in line
    assert "the nearest that works is 64x96" in line
    assert not (tmp_path / "runs").exists()
