"""Overlays of images, folders and videos, by a runner that can be told apart from every mistake."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from unit.verify import tiny

from mobile_seg import imaging
from mobile_seg.cli import media
from mobile_seg.verify import runners

Cli = Callable[..., Any]

SIZE = (46, 62)
PALETTE = tiny.manifest().palette


class RedRunner(runners.Runner):
    """Class 1 where red is the strongest channel, class 3 elsewhere: BGR taken for RGB shows."""

    def __init__(self) -> None:
        super().__init__(path=None, manifest=tiny.manifest(), kind="stub")

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def segment(self, image: np.ndarray) -> np.ndarray:
        return np.where(image.argmax(-1) == 0, 1, 3).astype(np.uint8)


@pytest.fixture
def red(monkeypatch: pytest.MonkeyPatch) -> RedRunner:
    runner = RedRunner()
    monkeypatch.setattr(runners, "open_artifact", lambda path, threads=None: runner)
    return runner


def picture() -> np.ndarray:
    """Return RGB: red on the left, blue on the right."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, : SIZE[1] // 2] = (220, 30, 30)
    image[:, SIZE[1] // 2 :] = (30, 30, 220)
    return image


def write_image(path: Path, image: np.ndarray | None = None) -> Path:
    cv2.imwrite(str(path), (picture() if image is None else image)[..., ::-1])
    return path


def write_clip(path: Path, frames: int = 5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (SIZE[1], SIZE[0]))
    for _ in range(frames):
        writer.write(np.ascontiguousarray(picture()[..., ::-1]))
    writer.release()
    return path


def read_rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def expected(**look: float) -> np.ndarray:
    image = picture()
    return imaging.overlay(image, RedRunner().segment(image), PALETTE, **look)


def test_an_image(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    source, out = write_image(tmp_path / "street.png"), tmp_path / "out"
    ran = cli("predict", "m.tflite", source, "--out", out)
    assert (ran.code, sorted(path.name for path in out.iterdir())) == (0, ["street_overlay.png"])
    assert np.array_equal(read_rgb(out / "street_overlay.png"), expected())
    assert "street_overlay.png" in ran.out


def test_opacity_and_labels(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    source, out = write_image(tmp_path / "street.png"), tmp_path / "out"
    assert cli("predict", "m.tflite", source, "--out", out, "--opacity", "1", "--labels").code == 0
    painted = read_rgb(out / "street_overlay.png")
    assert tuple(painted[0, 0]) == PALETTE[1]
    assert tuple(painted[0, -1]) == PALETTE[3]
    labels = cv2.imread(str(out / "street_labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, RedRunner().segment(picture()))


def test_a_folder(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("b.png", "a.JPG", "c.bmp"):
        write_image(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    ran = cli("predict", "m.tflite", folder, "--out", out)
    assert ran.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a_overlay.png", "b_overlay.png", "c_overlay.png"]
    assert ran.err.startswith("painting images: 3 in ")
    assert ran.err.count("\n") == 1


def test_a_video_keeps_colours_rate_size_and_length(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    clip, out = write_clip(tmp_path / "drive.mp4"), tmp_path / "out"
    ran = cli("predict", "m.tflite", clip, "--out", out, "--labels")
    assert ran.code == 0
    assert ran.err.startswith("painting drive.mp4: 5 in ")
    with media.reading_video(out / "drive_overlay.mp4") as video:
        frames = list(video.frames)
        assert video.rate == 12.5
    assert len(frames) == 5
    assert frames[0].shape == (*SIZE, 3)
    inner = (slice(8, -8), slice(8, SIZE[1] // 2 - 8))  # away from the edges, which compression smears
    assert np.abs(frames[2][inner].astype(int) - expected()[inner].astype(int)).max() < 25
    labels = sorted((out / "drive_labels").iterdir())
    assert [path.name for path in labels] == [f"00000{number}.png" for number in range(1, 6)]
    assert cv2.imread(str(labels[0]), cv2.IMREAD_UNCHANGED)[SIZE[0] // 2, 10] == 1


@pytest.mark.parametrize("content", [b"", b"not a video" * 500], ids=["empty", "garbage"])
def test_a_video_that_cannot_be_read(cli: Cli, red: RedRunner, tmp_path: Path, content: bytes) -> None:
    clip, out = tmp_path / "drive.mp4", tmp_path / "out"
    clip.write_bytes(content)
    ran = cli("predict", "m.tflite", clip, "--out", out)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: {clip} cannot be read as a video: no frame")
    assert ran.err.count("\n") == 1
    assert not (out / "drive_overlay.mp4").exists()


def test_a_failure_in_a_video_leaves_the_overlay_before_it(
    cli: Cli, red: RedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = write_clip(tmp_path / "drive.mp4"), tmp_path / "out"
    out.mkdir()
    (out / "drive_overlay.mp4").write_bytes(b"the one before")
    calls = iter(range(10))

    def fails_at_the_third(image: np.ndarray) -> np.ndarray:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return np.zeros(image.shape[:2], np.uint8)

    monkeypatch.setattr(red, "segment", fails_at_the_third)
    ran = cli("predict", "m.tflite", clip, "--out", out)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "No space left on device" in ran.err
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("drive_overlay.mp4", b"the one before")]


def test_frames_that_the_encoder_lost_are_an_error(
    cli: Cli, red: RedRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = write_clip(tmp_path / "drive.mp4"), tmp_path / "out"
    monkeypatch.setattr(media, "_stated_frames", lambda path: 3)
    ran = cli("predict", "m.tflite", clip, "--out", out)
    assert ran.code == 1
    assert "3 of 5 frames were kept" in ran.err
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["absent.png"], "absent.png does not exist"),
        (["notes.txt"], "notes.txt is neither an image (.jpg"),
        (["empty"], "empty holds no image or video file"),
        (["a.png", "other/a.png"], "would get results of the same name"),
    ],
)
def test_sources_that_cannot_be(cli: Cli, red: RedRunner, tmp_path: Path, names: list[str], said: str) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "other" / "a.png")
    ran = cli("predict", "m.tflite", *(tmp_path / name for name in names), "--out", tmp_path / "out")
    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "out").exists()


def test_a_file_named_twice_is_painted_once(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = write_image(folder / "a.png")
    ran = cli("predict", "m.tflite", folder, source, "--out", tmp_path / "out")
    assert (ran.code, ran.out.splitlines()[0]) == (0, f"1 file in {tmp_path / 'out'}:")


def test_results_do_not_go_among_the_sources(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    source = write_image(tmp_path / "a.png")
    ran = cli("predict", "m.tflite", source, "--out", tmp_path)
    assert ran.code == 2
    assert "choose another" in ran.err


def test_a_damaged_image_is_named(cli: Cli, red: RedRunner, tmp_path: Path) -> None:
    source = write_image(tmp_path / "a.png")
    source.write_bytes(source.read_bytes()[:200])
    ran = cli("predict", "m.tflite", source, "--out", tmp_path / "out")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "a.png" in ran.err


@pytest.mark.parametrize("how", [tiny.FLOAT32, tiny.INT8, tiny.LABELS], ids=["float32", "int8", "labels"])
def test_a_real_tflite_file(cli: Cli, tmp_path: Path, how: tiny.Conversion) -> None:
    artifact = tiny.save(tmp_path, how)
    image = tiny.images(1, SIZE)[0]
    source, out = write_image(tmp_path / "street.png", image), tmp_path / "out"
    assert cli("predict", artifact, source, "--out", out, "--labels").code == 0
    labels = cv2.imread(str(out / "street_labels.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(labels, runners.open_artifact(artifact).segment(image))
    assert np.array_equal(read_rgb(out / "street_overlay.png"), imaging.overlay(image, labels, PALETTE))
