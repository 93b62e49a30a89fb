"""Find the images of a split on the disk, and the label that belongs to each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_seg.errors import DatasetError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
LABEL_SUFFIX = ".png"


@dataclass(frozen=True)
class Pair:
    """An image file and the label file that belongs to it."""

    image: Path
    label: Path


def find_pairs(where: str | list[str], *, root: Path, images: str, labels: str, split: str) -> tuple[Pair, ...]:
    """Return the pairs of one split, sorted for a folder, in the given order for a list.

    `split` names the YAML file and key in errors.

    Raises:
        DatasetError: for a missing folder or file, an image without a label, or no pair at all.
    """
    if not root.is_dir():
        raise DatasetError(f"{split}: the folder {root} does not exist; correct `path` (relative to the YAML file)")
    if isinstance(where, list):
        lines = where
    elif where.endswith(".txt"):
        lines = _lines(root / where, split)
    else:
        return _from_folder(where, root=root, images=images, labels=labels, split=split)
    pairs = tuple(_from_line(line, root=root, images=images, labels=labels, split=split) for line in lines)
    _refuse_missing("image", [pair.image for pair in pairs], split)
    _refuse_missing("label", [pair.label for pair in pairs], split)
    return pairs


def _from_folder(where: str, *, root: Path, images: str, labels: str, split: str) -> tuple[Pair, ...]:
    layouts = ((root / where / images, root / where / labels), (root / images / where, root / labels / where))
    present = [layout for layout in layouts if layout[0].is_dir()]
    if not present:
        looked = " nor ".join(str(layout[0]) for layout in layouts)
        raise DatasetError(f"{split}: neither {looked} is a folder; correct `path`, {where!r} or `images`")
    image_folder, label_folder = present[0]
    found = sorted(file for file in image_folder.rglob("*") if _is_image(file))
    if not found:
        accepted = ", ".join(IMAGE_SUFFIXES)
        raise DatasetError(f"{split}: no image in {image_folder}, sub-folders included; put some there ({accepted})")
    if not label_folder.is_dir():
        raise DatasetError(f"{split}: {label_folder} is not a folder; put the labels there or correct `labels`")
    pairs = tuple(
        Pair(file, (label_folder / file.relative_to(image_folder)).with_suffix(LABEL_SUFFIX)) for file in found
    )
    _refuse_twins(pairs, split)
    _refuse_unlabelled(pairs, image_folder, split)
    return pairs


def _lines(file: Path, split: str) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DatasetError(
            f"{split}: the list {file} cannot be read: {reason}; correct it (relative to `path`)"
        ) from error
    lines = [line for line in lines if line]
    if not lines:
        raise DatasetError(f"{split}: the list {file} is empty; write one image path per line")
    return lines


def _from_line(line: str, *, root: Path, images: str, labels: str, split: str) -> Pair:
    """Read `image` or `image label`; a path that holds spaces is understood if it is a file."""
    words = line.rsplit(maxsplit=1)
    if len(words) == 2 and not (root / line).is_file():
        return Pair(root / words[0], root / words[1])
    image = Path(line)
    # The last folder called `images` is the one that `labels` stands in for.
    for index in range(len(image.parts) - 2, -1, -1):
        if image.parts[index] == images:
            mirrored = Path(*image.parts[:index], labels, *image.parts[index + 1 :])
            return Pair(root / image, (root / mirrored).with_suffix(LABEL_SUFFIX))
    raise DatasetError(
        f"{split}: {line!r} has no folder {images!r} to swap for {labels!r}; "
        "write `image label` on the line, or set `images`"
    )


def _refuse_missing(kind: str, files: Sequence[Path], split: str) -> None:
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise DatasetError(
            f"{split}: {len(missing)} of the {len(files)} {kind}s listed do not exist, the first is {missing[0]}; "
            "correct the list (paths are relative to `path`)"
        )


def _refuse_unlabelled(pairs: Sequence[Pair], folder: Path, split: str) -> None:
    without = [pair for pair in pairs if not pair.label.is_file()]
    if without:
        share = "none" if len(without) == len(pairs) else f"only {len(pairs) - len(without)}"
        raise DatasetError(
            f"{split}: {share} of the {len(pairs)} images in {folder} have a label: for {without[0].image.name} "
            f"there is no {without[0].label}; add the labels (same stem, {LABEL_SUFFIX}), or list the images in a .txt"
        )


def _refuse_twins(pairs: Sequence[Pair], split: str) -> None:
    owner: dict[Path, Path] = {}
    for pair in pairs:
        other = owner.setdefault(pair.label, pair.image)
        if other != pair.image:
            raise DatasetError(
                f"{split}: {other} and {pair.image} would share the label {pair.label}; rename or remove one of them"
            )


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()
