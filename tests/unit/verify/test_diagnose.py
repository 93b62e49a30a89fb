"""Which mistake explains a difference, on models whose every number is known."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mobile_seg.errors import ParityError, UsageError
from mobile_seg.imaging import resize_labels, resize_logits
from mobile_seg.manifest import InputSpec, Manifest, OutputSpec
from mobile_seg.verify.compare import Agreement
from mobile_seg.verify.diagnosis.case import IMAGES
from mobile_seg.verify.diagnosis.diagnose import HYPOTHESES, Finding, diagnose, summary
from mobile_seg.verify.runners import Runner

SIZE, CLASSES = (40, 56), 6
Function = Callable[[np.ndarray], np.ndarray]
"""From a tensor `[H, W, 3]` to raw output."""

_rng = np.random.default_rng(3)
_FIRST = _rng.normal(size=(3, 12)).astype(np.float32) * 2
_LAST = _rng.normal(size=(12, CLASSES)).astype(np.float32)


def network(normalized: np.ndarray, first: np.ndarray = _FIRST) -> np.ndarray:
    """Smooth, look through twelve filters of colour, weigh: `[H, W, 3]` in -1..1 to logits at half the size."""
    height, width = normalized.shape[:2]
    smooth = cv2.resize(
        cv2.GaussianBlur(normalized, (0, 0), 1.5), (width // 2, height // 2), interpolation=cv2.INTER_AREA
    )
    return np.maximum(smooth @ first + 0.3, 0.0) @ _LAST


def sound(tensor: np.ndarray) -> np.ndarray:
    return network((tensor.astype(np.float32) - 128) / 128)


class Model(Runner):
    """Any function, as a runner."""

    def __init__(
        self, function: Function, *, kind: str = "logits", dtype: str = "float32", step: float | None = None
    ) -> None:
        sample = function(np.zeros((*SIZE, 3), np.float32))
        output = OutputSpec(kind, sample.shape[0], sample.shape[1], sample.dtype.name)
        manifest = Manifest(
            model="known",
            precision="float32",
            input=InputSpec(*SIZE, dtype=dtype, mean=128.0, std=128.0),
            output=output,
            classes=tuple("abcdef"),
            palette=((0, 0, 0),) * CLASSES,
        )
        super().__init__(path=None, manifest=manifest, kind="function")
        self.quantization = None if step is None else (step, 0)
        self._function = function

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        return self._function(tensor[0])


def images(count: int = 4) -> list[np.ndarray]:
    """Coloured blobs with some grain, unlike upside down or in a mirror."""
    rng = np.random.default_rng(11)
    made = []
    for _ in range(count):
        coarse = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32)
        smooth = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC) + rng.normal(0, 4, (*SIZE, 3))
        made.append(np.clip(smooth, 0, 255).astype(np.uint8))
    return made


def full(tensor: np.ndarray) -> np.ndarray:
    return resize_logits(sound(tensor), SIZE)


def labels(tensor: np.ndarray) -> np.ndarray:
    return full(tensor).argmax(-1).astype(np.int32)


def scrambled(values: np.ndarray) -> np.ndarray:
    """The buffer of [H, W, C], read as [C, H, W]."""
    height, width, channels = values.shape
    return np.moveaxis(values.reshape(channels, height, width), 0, -1)


def unscrambled(values: np.ndarray) -> np.ndarray:
    """The buffer of [C, H, W], read as [H, W, C]."""
    return np.moveaxis(values, -1, 0).reshape(values.shape)


def aligned(tensor: np.ndarray) -> np.ndarray:
    """Full-size logits, the corners' centres on each other."""
    logits = sound(tensor)
    places = [
        np.arange(new, dtype=np.float32) * (old - 1) / (new - 1) for new, old in zip(SIZE, logits.shape, strict=False)
    ]
    return _at(logits, *places)


def from_corners(tensor: np.ndarray) -> np.ndarray:
    """Full-size logits, corners taken for centres."""
    return _at(sound(tensor), *(np.arange(side, dtype=np.float32) / 2 for side in SIZE))


def _at(logits: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    maps = np.meshgrid(columns, rows)
    planes = [
        cv2.remap(logits[..., i], *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for i in range(CLASSES)
    ]
    return np.stack(planes, -1)


def shifted(image: np.ndarray) -> np.ndarray:
    """One pixel down, two to the left."""
    return np.roll(image, (1, -2), (0, 1))


MISTAKES: dict[str, tuple[str, Model]] = {
    "BGR": ("channels-swapped", Model(lambda x: sound(x[..., ::-1]))),
    "BGR, labels": ("channels-swapped", Model(lambda x: labels(x[..., ::-1]), kind="labels")),
    "BGR bytes": ("channels-swapped", Model(lambda x: sound(x[..., ::-1]), dtype="uint8")),
    "raw bytes": ("normalization-missing", Model(lambda x: network(x.astype(np.float32)))),
    "twice": ("normalization-twice", Model(lambda x: sound((x - 128) / 128))),
    "aligned": ("align-corners", Model(aligned, kind="logits-full")),
    "aligned, labels": ("align-corners", Model(lambda x: aligned(x).argmax(-1).astype(np.int32), kind="labels")),
    "from corners": ("resize-off-by-one", Model(from_corners, kind="logits-full")),
    "cropped before": ("resize-off-by-one", Model(lambda x: sound(shifted(x)))),
    "cropped behind": ("resize-off-by-one", Model(lambda x: np.roll(sound(x), 1, 0))),
    "cropped labels": ("resize-off-by-one", Model(lambda x: np.roll(labels(x), 1, 0), kind="labels")),
    "image read as NCHW": ("layout-mixed-up", Model(lambda x: sound(scrambled(x)))),
    "image read as NHWC": ("layout-mixed-up", Model(lambda x: sound(unscrambled(x)))),
    "logits read as NCHW": ("layout-mixed-up", Model(lambda x: scrambled(sound(x)))),
    "logits read as NHWC": ("layout-mixed-up", Model(lambda x: unscrambled(sound(x)))),
    "zero at 127.5": ("zero-point-wrong", Model(lambda x: sound(x.astype(np.float32) + 0.5))),
    "zero at 117": ("zero-point-wrong", Model(lambda x: sound(x.astype(np.float32) + 11))),
    "zero at 188": ("zero-point-wrong", Model(lambda x: sound(x.astype(np.float32) - 60))),
    "wrong sign": ("zero-point-wrong", Model(lambda x: sound((x.astype(np.int64) ^ 0x80).astype(np.float32)))),
    "output's zero": ("zero-point-wrong", Model(lambda x: sound(x) + np.float32(0.7))),
    "counted from one": ("labels-off-by-one", Model(lambda x: labels(x) + 1, kind="labels")),
    "background dropped": ("labels-off-by-one", Model(lambda x: labels(x) - 1, kind="labels")),
    "background dropped, bytes": (
        "labels-off-by-one",
        Model(lambda x: (labels(x) - 1).astype(np.uint8), kind="labels"),
    ),
    "logits behind a background": ("labels-off-by-one", Model(lambda x: np.roll(sound(x), 1, -1))),
    "nearest from one": (
        "labels-off-by-one",
        Model(lambda x: resize_labels(sound(x).argmax(-1).astype(np.uint8), SIZE) + 1, kind="labels-nearest"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_mistake_is_named_first(mistake: str) -> None:
    name, candidate = MISTAKES[mistake]
    found = diagnose(Model(sound), candidate, images())
    assert [finding.name for finding in found][:1] == [name], found
    assert found[0].agreement.argmax > 0.97
    assert found[0].explanation.count(". ") == 0, "one sentence"


QUESTIONS = {
    "zero at 117": "zero point (the mean, in floats) is -11 off",
    "zero at 188": "zero point (the mean, in floats) is +60 off",
    "cropped before": "moved by (+1.0",
    "output's zero": "+0.7",
    "counted from one": "+1 off",
    "background dropped": "-1 off",
}


@pytest.mark.parametrize("mistake", QUESTIONS)
def test_the_explanation_says_by_how_much(mistake: str) -> None:
    (first, *_) = diagnose(Model(sound), MISTAKES[mistake][1], images())
    assert QUESTIONS[mistake] in first.explanation


def _noisy(level: float, seed: int = 0) -> Function:
    rng = np.random.default_rng(seed)
    return lambda x: sound(x) + rng.normal(0, level, (SIZE[0] // 2, SIZE[1] // 2, CLASSES)).astype(np.float32)


def _rounded(step: float) -> Function:
    return lambda x: np.round(sound(x) / step) * np.float32(step)


def _coarse_weights(x: np.ndarray) -> np.ndarray:
    """Weights of four bits, as a palette leaves them."""
    step = np.abs(_FIRST).max() / 7
    return network((x.astype(np.float32) - 128) / 128, np.round(_FIRST / step) * step)


NOISE = {
    "equal": sound,
    "float noise": _noisy(1e-5),
    "noise": _noisy(0.3),
    "much noise": _noisy(2.0),
    "rounded": _rounded(0.2),
    "coarse": _rounded(1.5),
    "coarse weights": _coarse_weights,
    "another network": lambda x: sound(x[::-1, ::-1]),
    "constant": lambda x: np.zeros((SIZE[0] // 2, SIZE[1] // 2, CLASSES), np.float32),
}


@pytest.mark.parametrize("kind", NOISE)
def test_what_is_none_of_the_mistakes_has_no_finding(kind: str) -> None:
    found = diagnose(Model(sound), Model(NOISE[kind]), images())
    assert found == ()
    assert summary(found) == "not one of the known mistakes"


def test_argmax_over_another_axis() -> None:
    """With as many classes as columns; elsewhere the shape gives it away."""

    def square(x: np.ndarray) -> np.ndarray:
        return full(x)[:, :CLASSES]

    reference, candidate = Model(square, kind="logits-full"), Model(lambda x: square(x).argmax(1), kind="labels")
    (found, *_) = diagnose(reference, candidate, images())
    assert found.name == "argmax-wrong-axis"
    assert "over the columns" in found.explanation


def test_only_a_few_images_are_read() -> None:
    read: list[int] = []

    def stream() -> Iterator[np.ndarray]:
        for number, one in enumerate(images(9)):
            read.append(number)
            yield one

    diagnose(Model(sound), Model(sound), stream())
    assert len(read) == IMAGES


def test_images_of_any_size() -> None:
    large = [cv2.resize(one, (200, 130)) for one in images()]
    (found, *_) = diagnose(Model(sound), MISTAKES["BGR"][1], large)
    assert found.name == "channels-swapped"


def test_a_reference_that_takes_bytes_is_shown_bytes_only() -> None:
    """What is no image cannot be tried on it: the finding is another's, or none."""
    reference = Model(sound, dtype="uint8")
    assert diagnose(reference, MISTAKES["BGR"][1], images())[0].name == "channels-swapped"
    assert diagnose(reference, MISTAKES["raw bytes"][1], images()) == ()


def test_a_reference_that_is_normalized_outside() -> None:
    reference = Model(network)
    reference.manifest = replace(reference.manifest, input=replace(reference.manifest.input, normalized_outside=True))
    for mistake in ("BGR", "raw bytes", "zero at 117"):
        name, candidate = MISTAKES[mistake]
        assert diagnose(reference, candidate, images())[0].name == name


def test_what_cannot_be_diagnosed() -> None:
    with pytest.raises(UsageError, match="no image to diagnose on"):
        diagnose(Model(sound), Model(sound), [])
    broken = Model(lambda x: sound(x) * np.float32(np.nan))
    with pytest.raises(ParityError, match="NaN"):
        diagnose(Model(sound), broken, images())


def test_every_hypothesis_is_a_rule() -> None:
    assert all(rule.__doc__ and rule.__doc__.strip().endswith(".") for rule in HYPOTHESES.values())
    agreement = Agreement(1.0, None, None, None, None, 1)
    assert summary((Finding("a", "b", agreement), Finding("c", "d", agreement))) == "a: b"
