"""The dataset YAML: where images and labels lie, what the classes are, what raw label values mean."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_seg.data import _fields as fields
from mobile_seg.data._fields import IGNORE
from mobile_seg.data._pairs import Pair, find_pairs
from mobile_seg.errors import UsageError, choose

__all__ = ["IGNORE", "KEYS", "Dataset", "Pair", "default_palette", "load_dataset"]

KEYS = ("path", "train", "val", "images", "labels", "names", "palette", "label_mapping", "ignore")
REQUIRED = ("train", "val", "names")


@dataclass(frozen=True)
class Dataset:
    """A labelled image set.

    `label_mapping` holds (raw value, class id or `ignore`); empty means that raw values are class
    ids. The raw value 255 means ignore unless it is mapped. Labels are handed out with class ids
    0..len(classes)-1 and `ignore`, which is always 255. `palette` is RGB, one row per class.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    label_mapping: tuple[tuple[int, int], ...] = ()
    ignore: int = IGNORE


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a dataset YAML and find its images and labels; the images themselves are not opened.

    Keys (`train`, `val` and `names` are required):

    - `path`: the root, relative to the YAML file (default: the YAML file's folder);
    - `train`, `val`: a folder, a `.txt` list of images (or `image label` on each line), or a YAML
      list of such lines, all relative to `path`;
    - `images`, `labels`: the names of the sub-folders (default: `images`, `labels`). Either
      `<train>/<images>` and `<train>/<labels>`, or `<images>/<train>` and `<labels>/<train>`. The
      labels mirror the images: the same sub-folders and stems, with the suffix `.png`;
    - `names`: a list, or a mapping {id: name} with ids 0, 1, 2, ...;
    - `palette`: one [red, green, blue] per class (default: `default_palette`);
    - `label_mapping`: {raw value: class id, or 255 for ignore} (default: the raw value is the class id);
    - `ignore`: the raw value, or a list of raw values, that means "not labelled" (default: 255).

    Raises:
        UsageError: for what is wrong in the YAML, naming the key.
        DatasetError: for what is wrong on the disk, naming the folder or the file.
    """
    file = Path(path)
    text = fields.parse(file)
    for key in text:
        choose(f"{file}: key", str(key), KEYS)
    missing = [key for key in REQUIRED if key not in text]
    if missing:
        raise UsageError(f"{file}: missing {', '.join(missing)}; add it (accepted keys: {', '.join(KEYS)})")
    classes = fields.names(text["names"], file)
    root = file.parent / fields.string(text.get("path", "."), "path", file)
    folders = tuple(fields.string(text.get(key, key), key, file) for key in ("images", "labels"))

    def pairs(split: str) -> tuple[Pair, ...]:
        where = fields.string_or_list(text[split], split, file)
        return find_pairs(where, root=root, images=folders[0], labels=folders[1], split=f"{file}: {split}")

    return Dataset(
        name=file.stem,
        classes=classes,
        palette=_palette(text, classes, file),
        label_mapping=_mapping(text, len(classes), file),
        train=pairs("train"),
        val=pairs("val"),
    )


def spread(pairs: tuple[Pair, ...], count: int) -> tuple[Pair, ...]:
    """At most `count` of a split's images, spread evenly."""
    return pairs[:: max(1, len(pairs) // count)][:count]


def default_palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return `count` (at most 255) distinct RGB colours: the PASCAL VOC colour map without its black."""
    if not 0 <= count <= 255:
        raise UsageError(f"count={count}: a palette has 0 to 255 colours")
    return tuple(_voc_colour(index + 1) for index in range(count))


def _voc_colour(index: int) -> tuple[int, int, int]:
    """Spread the bits of `index` over red, green and blue, the lowest bits to the strongest bits."""
    red = green = blue = 0
    for strength in range(7, -1, -1):
        red |= (index & 1) << strength
        green |= (index >> 1 & 1) << strength
        blue |= (index >> 2 & 1) << strength
        index >>= 3
    return red, green, blue


def _palette(text: dict[Any, Any], classes: tuple[str, ...], file: Path) -> tuple[tuple[int, int, int], ...]:
    if text.get("palette") is None:
        return default_palette(len(classes))
    palette = fields.palette(text["palette"], file)
    if len(palette) != len(classes):
        raise UsageError(
            f"{file}: palette has {len(palette)} colours for {len(classes)} names; give one per name, or leave it out"
        )
    return palette


def _mapping(text: dict[Any, Any], classes: int, file: Path) -> tuple[tuple[int, int], ...]:
    """Return the whole table raw value → class or 255; empty when raw values are class ids."""
    mapping = fields.mapping(text.get("label_mapping"), classes, file)
    ignored = fields.raw_values(text["ignore"], file) if "ignore" in text else ()
    for value in ignored:
        if mapping.get(value, IGNORE) != IGNORE:
            raise UsageError(
                f"{file}: raw value {value} is in ignore and mapped to class {mapping[value]}; take one of them out"
            )
    extra = {value: IGNORE for value in ignored if value != IGNORE}
    if not mapping and extra:
        mapping = {value: value for value in range(classes)}
    return tuple(sorted((mapping | extra).items()))
