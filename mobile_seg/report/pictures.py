"""Real predictions as layered pictures: the photo once, transparent label layers over it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mobile_seg import imaging
from mobile_seg.errors import UsageError
from mobile_seg.report.markup import escape, percent

WIDTH = 720
"""Pictures wider than this many pixels are reduced to it."""

JPEG_QUALITY = 88
DIFFERENT = (255, 214, 0)
"""Colour of the pixels where float and int8 disagree, drawn over the photo in grey."""

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Example:
    """One image of the validation set: `image` `[H, W, 3]` uint8 RGB, the rest `[H, W]` class ids.

    Raises:
        UsageError: if the image is not uint8 RGB or a label map has another size.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    float_prediction: np.ndarray
    int8_prediction: np.ndarray

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise UsageError(
                f"example {self.name!r}: the image is {self.image.dtype} {self.image.shape}; give uint8 [H, W, 3], RGB"
            )
        for role in ("truth", "float_prediction", "int8_prediction"):
            labels = getattr(self, role)
            if labels.shape != self.image.shape[:2] or labels.dtype.kind not in "iu":
                raise UsageError(
                    f"example {self.name!r}: {role} is {labels.dtype} {labels.shape} for an image of "
                    f"{self.image.shape[:2]}; resize it with imaging.resize_labels"
                )

    @property
    def difference(self) -> float:
        """Share of all pixels where the float and the int8 prediction differ, 0..1."""
        return float(np.mean(self.float_prediction != self.int8_prediction))


def hero(example: Example, palette: Palette) -> str:
    """Return one large picture with a divider to drag: photo on the left, int8 prediction on the right.

    The photo is the one of the gallery's first row, so the page must hold that too.
    """
    width, height = _size(example)
    picture = _picture(
        f"{example.name}: the photo and, from the divider on, the int8 prediction",
        (width, height),
        '<use href="#photo0"/>' + _layer(_mask(example.int8_prediction, palette, (width, height)), "wiped"),
    )
    return (
        f'<figure class="hero" style="aspect-ratio: {width} / {height}">{picture}<span class="divider"></span>'
        '<input type="range" min="0" max="100" step="0.1" value="50" data-sets="--wipe" data-unit="%" '
        'aria-label="Position of the divider between photo and int8 prediction">'
        "<figcaption><span>photo</span><span>int8 prediction</span></figcaption></figure>"
    )


def gallery(examples: Sequence[Example], palette: Palette) -> str:
    """Return one row per example: photo, truth, float, int8, and where float and int8 differ."""
    return "".join(_row(index, example, palette) for index, example in enumerate(examples))


def legend(classes: Sequence[str], colours: Sequence[str]) -> str:
    """Return the classes with their palette colours (`#rrggbb`)."""
    entries = (f"<li>{swatch(colour)}{escape(name)}</li>" for name, colour in zip(classes, colours, strict=True))
    return f'<ul class="legend" aria-label="Classes and their colours">{"".join(entries)}</ul>'


def swatch(colour: str) -> str:
    """Return a small square of `colour` (`#rrggbb`)."""
    return f'<i class="swatch" style="background: {colour}"></i>'


def data_uri(image: np.ndarray, kind: str) -> str:
    """Encode `[H, W, 3]` RGB or `[H, W, 4]` RGBA bytes as a `jpeg` or `png` data URI.

    Raises:
        UsageError: if OpenCV cannot encode it.
    """
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if kind == "jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    done, content = cv2.imencode(f".{kind}", cv2.cvtColor(image, order), options)
    if not done:
        raise UsageError(f"OpenCV cannot encode a picture of {image.shape} as {kind}; check the OpenCV installation")
    return f"data:image/{kind};base64,{base64.b64encode(content.tobytes()).decode('ascii')}"


def _row(index: int, example: Example, palette: Palette) -> str:
    size = _size(example)
    photo = f'<use href="#photo{index}"/>'
    differs = f"{percent(example.difference)} of pixels differ"
    cells = [("photo", f'<g id="photo{index}">{_photo(example, size)}</g>', "photo")]
    for role, labels in (
        ("ground truth", example.truth),
        ("float", example.float_prediction),
        ("int8", example.int8_prediction),
    ):
        cells.append((role, photo + _layer(_mask(labels, palette, size), "labels"), f"{role} over the photo"))
    grey = f'<g class="grey">{photo}</g>' + _layer(_difference(example, size), "differs")
    cells.append(("float \N{NOT EQUAL TO} int8", grey, f"where float and int8 differ, {differs}"))
    figures = "".join(
        f"<figure>{_picture(f'{example.name}: {alt}', size, layers)}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, layers, alt in cells
    )
    share = f'<span class="quiet">{escape(differs)} between float and int8</span>'
    title = f"<h3>{escape(example.name)} {share}</h3>"
    return f'<section class="example">{title}<div class="strip">{figures}</div></section>'


def _picture(alt: str, size: tuple[int, int], layers: str) -> str:
    width, height = size
    return f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">{layers}</svg>'


def _photo(example: Example, size: tuple[int, int]) -> str:
    return _layer(data_uri(cv2.resize(example.image, size, interpolation=cv2.INTER_AREA), "jpeg"), "photo")


def _layer(uri: str, kind: str) -> str:
    return f'<image class="{kind}" width="100%" height="100%" href="{uri}"/>'


def _mask(labels: np.ndarray, palette: Palette, size: tuple[int, int]) -> str:
    """Painted labels; pixels that belong to no class (ignored ones) are transparent."""
    return _transparent(imaging.colourize(labels, palette), labels < len(palette), size)


def _difference(example: Example, size: tuple[int, int]) -> str:
    different = example.float_prediction != example.int8_prediction
    return _transparent(np.full_like(example.image, DIFFERENT), different, size)


def _transparent(painted: np.ndarray, shown: np.ndarray, size: tuple[int, int]) -> str:
    alpha = np.where(shown, 255, 0).astype(np.uint8)[..., None]
    # Nearest, since a mixture of two classes' colours would be a third class.
    layer = np.concatenate([painted * (alpha > 0), alpha], axis=2)
    return data_uri(cv2.resize(layer, size, interpolation=cv2.INTER_NEAREST_EXACT), "png")


def _size(example: Example) -> tuple[int, int]:
    height, width = example.image.shape[:2]
    scale = min(1.0, WIDTH / width)
    return round(width * scale), max(1, round(height * scale))
