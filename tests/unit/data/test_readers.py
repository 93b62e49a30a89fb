"""Image and label files: what is read, and that nothing damaged or misunderstood gets through."""

import dataclasses
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mobile_seg.data.description import Dataset, Pair, load_dataset
from mobile_seg.data.readers import check_dataset, read_image, read_label, read_pair
from mobile_seg.errors import DatasetError

WriteImage = Callable[[Path, np.ndarray], Path]


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return load_dataset(folder / "set.yaml")


def grey_png(bits: int, rows: bytes, width: int) -> bytes:
    """Return a grey PNG of less than 8 bits per pixel, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, 1, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_image_is_rgb(tmp_path: Path, write_image: WriteImage) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[..., 0] = 200
    np.testing.assert_array_equal(read_image(write_image(tmp_path / "red.png", pixels)), pixels)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_other_kinds_of_image_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    PIL.Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode).save(tmp_path / f"white.{suffix}")
    image = read_image(tmp_path / f"white.{suffix}")
    assert image.shape == (4, 6, 3)
    assert (image == 255).all()


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    PIL.Image.new("RGB", (6, 4)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (4, 6, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.97])
def test_files_cut_short_are_refused(tmp_path: Path, write_image: WriteImage, suffix: str, keep: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = write_image(tmp_path / f"cut.{suffix}", pixels)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DatasetError, match=r"cut\.\w+ .*; restore it"):
        read_image(path)


def test_jpeg_without_its_last_bytes_and_with_a_zeroed_tail(tmp_path: Path, write_image: WriteImage) -> None:
    path = write_image(tmp_path / "tail.jpg", np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    content = path.read_bytes()
    half = len(content) // 2
    for damaged in (content[:-1], content[:-2], content[:half] + bytes(len(content) - half)):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="restore it"):
            read_image(path)


def test_jpeg_with_what_may_precede_and_follow_its_pixels(tmp_path: Path) -> None:
    """A thumbnail's end marker inside the EXIF block, several scans, bytes after the end: all fine."""
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x010E] = "\xff\xd8 thumbnail \xff\xd9"
    path = tmp_path / "busy.jpg"
    picture.save(path, progressive=True, exif=exif, comment=b"\xff\xd9\xff")
    content = path.read_bytes()
    path.write_bytes(content + b"\xff\xda appended \xff")
    assert read_image(path).shape == (48, 64, 3)
    path.write_bytes(content[: len(content) * 2 // 3] + bytes(len(content) // 3))
    with pytest.raises(DatasetError, match="restore it"):
        read_image(path)


def test_png_without_its_end_and_with_a_flipped_bit(tmp_path: Path, write_image: WriteImage) -> None:
    path = write_image(tmp_path / "end.png", np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (content[:-12], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="restore it"):
            read_image(path)


def test_text_called_jpg_missing_file_and_16_bit_image(tmp_path: Path, write_image: WriteImage) -> None:
    (tmp_path / "text.jpg").write_text("not a picture", encoding="utf-8")
    with pytest.raises(DatasetError, match="not an image"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(DatasetError, match="No such file"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(DatasetError, match="8-bit RGB"):
        read_image(write_image(tmp_path / "deep.png", np.zeros((4, 4), np.uint16)))


def test_label_keeps_ids_and_ignore(tmp_path: Path, write_image: WriteImage, dataset: Dataset) -> None:
    stored = np.array([[0, 1], [2, 255]], np.uint8)
    label = read_label(write_image(tmp_path / "label.png", stored), dataset)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, stored)


def test_palette_label_is_read_as_indices(tmp_path: Path, dataset: Dataset) -> None:
    indices = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    picture = PIL.Image.fromarray(indices)
    picture.putpalette([value for index in range(256) for value in (255 - index, 17, index)])
    assert picture.mode == "P"
    picture.save(tmp_path / "voc.png")
    np.testing.assert_array_equal(read_label(tmp_path / "voc.png", dataset), indices)


@pytest.mark.parametrize(("bits", "rows"), [(1, b"\0\x50"), (2, b"\0\x11"), (4, b"\0\x01\x01")])
def test_grey_label_of_few_bits_is_not_stretched(tmp_path: Path, dataset: Dataset, bits: int, rows: bytes) -> None:
    (tmp_path / "few.png").write_bytes(grey_png(bits, rows, width=4))
    np.testing.assert_array_equal(read_label(tmp_path / "few.png", dataset), [[0, 1, 0, 1]])


def test_16_bit_label_goes_through_the_mapping(tmp_path: Path, write_image: WriteImage, dataset: Dataset) -> None:
    mapped = dataclasses.replace(dataset, label_mapping=((1000, 0), (40000, 2), (7, 255)))
    stored = np.array([[1000, 40000], [7, 255]], np.uint16)
    label = read_label(write_image(tmp_path / "deep.png", stored), mapped)
    np.testing.assert_array_equal(label, [[0, 2], [255, 255]])


@pytest.mark.parametrize("value", [3, 254])
def test_value_outside_the_classes(tmp_path: Path, write_image: WriteImage, dataset: Dataset, value: int) -> None:
    stored = np.zeros((4, 5), np.uint8)
    stored[2, 3:] = value
    path = write_image(tmp_path / "label.png", stored)
    with pytest.raises(DatasetError) as caught:
        read_label(path, dataset)
    message = str(caught.value)
    for part in (str(path), f"value {value}", "x=3, y=2", "2 such pixels", "label_mapping", "ignore"):
        assert part in message


def test_unmapped_value_and_value_of_32_bits(tmp_path: Path, write_image: WriteImage, dataset: Dataset) -> None:
    mapped = dataclasses.replace(dataset, label_mapping=((7, 0),))
    with pytest.raises(DatasetError, match="value 1 at x=0, y=0"):
        read_label(write_image(tmp_path / "raw.png", np.ones((2, 2), np.uint8)), mapped)
    with pytest.raises(DatasetError, match="value 70000 at x=0, y=0"):
        read_label(write_image(tmp_path / "raw.tif", np.full((2, 2), 70000, np.int32)), dataset)


def test_colour_label_is_refused(tmp_path: Path, write_image: WriteImage, dataset: Dataset) -> None:
    path = write_image(tmp_path / "colours.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match="RGB picture, not a label map; save class ids"):
        read_label(path, dataset)


def test_label_of_another_size(folder: Path, write_image: WriteImage, dataset: Dataset) -> None:
    path = write_image(folder / "train" / "labels" / "2.png", np.zeros((24, 31), np.uint8))
    with pytest.raises(DatasetError) as caught:
        read_pair(dataset.train[2], dataset)
    for part in (str(path), str(dataset.train[2].image), "32x24", "31x24"):
        assert part in str(caught.value)


def test_check_passes_and_counts(dataset: Dataset) -> None:
    seen: list[tuple[int, int]] = []
    check_dataset(dataset, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 7) for done in range(1, 8)]


def test_check_reports_all_that_is_wrong(folder: Path, write_image: WriteImage, dataset: Dataset) -> None:
    image = folder / "train" / "images" / "1.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    write_image(folder / "train" / "labels" / "3.png", np.zeros((24, 31), np.uint8))
    write_image(folder / "val" / "labels" / "0.png", np.full((24, 32), 9, np.uint8))
    with pytest.raises(DatasetError) as caught:
        check_dataset(dataset)
    lines = str(caught.value).splitlines()
    assert "3 of 7" in lines[0]
    assert [part in line for part, line in zip(("1.jpg", "31x24", "value 9"), lines[1:], strict=True)] == [True] * 3


def test_check_lists_the_first_five(folder: Path, dataset: Dataset) -> None:
    for pair in dataset.train + dataset.val:
        pair.image.write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        check_dataset(dataset)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert lines[-1].strip() == "and 2 more"


def test_check_reads_a_shared_pair_once(dataset: Dataset) -> None:
    totals: set[int] = set()
    twice = dataclasses.replace(dataset, val=(Pair(dataset.train[0].image, dataset.train[0].label),))
    check_dataset(twice, progress=lambda done, total: totals.add(total))
    assert totals == {5}
