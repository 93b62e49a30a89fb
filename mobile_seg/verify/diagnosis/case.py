"""What a hypothesis is tried on: both models, some images, and the outputs of both."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from mobile_seg.errors import UsageError
from mobile_seg.imaging import Image, resize_image
from mobile_seg.verify.compare import Agreement, Sums, at_size
from mobile_seg.verify.runners import Runner

IMAGES = 4
"""As many images are enough to tell mistakes apart: they leave nothing as it was."""

Outputs = Sequence[np.ndarray]
"""One output per image: logits `[h, w, C]` or class ids `[h, w]`."""


@dataclass(frozen=True)
class Trial:
    """One way a hypothesis could be true: what the two sides would then give, and the fix if so."""

    expected: Outputs
    given: Outputs
    fix: str


Hypothesis = Callable[["Case"], Iterator[Trial]]
"""Yields every way in which its mistake can be tried; nothing where it cannot have happened."""


class Case:
    """A candidate that should follow its reference.

    The mistake is made on the reference's side wherever it can be: then no value that the file has clipped
    or rounded is missing.
    """

    def __init__(self, reference: Runner, candidate: Runner, images: Iterable[Image]) -> None:
        self.reference, self.candidate = reference, candidate
        self.images = [resize_image(image, reference.input_size) for image in islice(images, IMAGES)]
        if not self.images:
            raise UsageError("no image to diagnose on; check the split of the dataset YAML")
        self.size = Sums(reference, candidate).size
        self.raw = [reference.run(image) for image in self.images]
        self.given: Outputs = [candidate.run(image) for image in self.images]

    @cached_property
    def expected(self) -> Outputs:
        """The reference's outputs at the size of the comparison, logits where it gives them."""
        return self.resized(self.raw)

    @property
    def logits(self) -> bool:
        """Whether both sides give logits."""
        return all(output.ndim == 3 for output in (self.raw[0], self.given[0]))

    @cached_property
    def constants(self) -> Mapping[str, np.ndarray]:
        """The file's weights and biases."""
        return self.candidate.constants()

    @property
    def model(self) -> Any | None:
        """The reference's Keras model, if it is one."""
        return getattr(self.reference, "model", None)

    def alone(self, number: int) -> "Case":
        """The same case on one of its images."""
        one = copy.copy(self)
        one.images, one.raw, one.given = [self.images[number]], [self.raw[number]], [self.given[number]]
        one.__dict__.pop("expected", None)  # it is of all images
        return one

    def resized(self, outputs: Outputs) -> Outputs:
        """Bring outputs of the reference to the size of the comparison."""
        sums = Sums(self.reference, self.candidate)
        return [at_size(output, sums.size, nearest=sums.nearest) for output in outputs]

    def agreement(self, expected: Outputs, given: Outputs, *, shift: bool = False) -> Agreement:
        """Measure how two sets of outputs of this reference and candidate differ; their displacement if asked."""
        sums = Sums(self.reference, self.candidate, shift=shift)
        if expected[0].shape[:2] == given[0].shape[:2]:
            sums.size = expected[0].shape[0], expected[0].shape[1]
        for one, other in zip(expected, given, strict=True):
            sums.add(one, other)
        return sums.agreement()

    def reference_on(self, change: Callable[[np.ndarray], np.ndarray], *, count: int = IMAGES) -> Outputs | None:
        """The reference's outputs on the first `count` images changed, `[H, W, 3]` float32 in units of bytes.

        None if the reference takes bytes and the change leaves them.
        """
        changed = [change(image.astype(np.float32)) for image in self.images[:count]]
        spec = self.reference.manifest.input
        if spec.dtype != "float32":
            if any(np.any(one != np.clip(np.round(one), 0, 255)) for one in changed):
                return None
            return [self.reference.run(one.astype(np.uint8)) for one in changed]
        scaled = [(one - spec.mean) / spec.std if spec.normalized_outside else one for one in changed]
        return [self.reference.dequantize(self.reference.infer(one[None].astype(np.float32))) for one in scaled]

    def outputs_of(self, model: Any) -> Outputs:
        """The outputs of another Keras model in the reference's place."""
        tensors = [self.reference.preprocess(image) for image in self.images]
        return [np.asarray(model(tensor, training=False))[0] for tensor in tensors]
