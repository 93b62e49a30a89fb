"""Run a Core ML package: by our evaluator of its saved program anywhere, by Core ML itself on macOS."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError, UsageError
from mobile_seg.manifest import Manifest
from mobile_seg.verify.coreml.package import Package, manifest_of, read_package
from mobile_seg.verify.coreml.program import Program
from mobile_seg.verify.runners import Runner


def open_coreml(path: str | os.PathLike[str]) -> "CoreMLRunner":
    """Load an `.mlpackage` together with the manifest inside it.

    Raises:
        ArtifactError: if it is missing, cut short, damaged, carries no manifest, or holds an operation that the
            evaluator does not know.
        MissingExtraError: if coremltools is not installed.
    """
    file = Path(path)
    package = read_package(file)
    manifest = manifest_of(package)
    if manifest is None:
        raise ArtifactError(
            f"{path} carries no manifest (it was not written by mobile-seg); make it again with `mobile-seg export`"
        )
    return CoreMLRunner(file, manifest=manifest, path=file, package=package)


def read_coreml_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """Return the manifest inside an `.mlpackage`, or None if it carries none.

    Raises:
        ArtifactError: if the package or its manifest is damaged.
        MissingExtraError: if coremltools is not installed.
    """
    return manifest_of(read_package(path))


class CoreMLRunner(Runner):
    """An ML Program with one image input and one output, evaluated from its files.

    The image arrives as Core ML hands it over: bytes as floats `[1, 3, H, W]`, channels in the order that the
    specification asks for. Normalization is part of the program.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        manifest: Manifest,
        path: Path | None = None,
        package: Package | None = None,
    ) -> None:
        """Read the package in `folder`, unless it is given as read.

        Raises:
            ArtifactError: if it cannot be evaluated or does not match its manifest.
            MissingExtraError: if coremltools is not installed.
        """
        super().__init__(path=path, manifest=manifest, kind="coreml")
        package = read_package(folder) if package is None else package
        self._image, self._order = _image_input(package.specification, manifest, self.name)
        _check_output(package.specification, manifest, self.name)
        try:
            self.program = Program(package.specification, package.blobs)
        except ArtifactError as error:
            raise ArtifactError(f"{self.name}: {error}") from error
        self._output = manifest.output.name

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model; see `Runner.infer`."""
        planes = np.ascontiguousarray(tensor[..., self._order].transpose(0, 3, 1, 2), np.float32)
        return np.asarray(self.program.run({self._image: planes})[self._output][0])

    def constants(self) -> Mapping[str, np.ndarray]:
        """Return the package's weights and biases; see `Runner.constants`."""
        return self.program.weights()


class MacRunner(Runner):
    """The same package in Core ML itself, on whatever units Core ML chooses. macOS only."""

    def __init__(
        self, folder: str | os.PathLike[str], *, manifest: Manifest, path: Path | None = None, units: str = "ALL"
    ) -> None:
        """Compile and load the package; `units` is a name of coremltools' `ComputeUnit`.

        Raises:
            UsageError: on another system.
            ArtifactError: if Core ML refuses it.
        """
        super().__init__(path=path, manifest=manifest, kind="coreml")
        if sys.platform != "darwin":
            raise UsageError("Core ML runs on macOS only; on other systems CoreMLRunner evaluates the package")
        import coremltools

        try:
            self._model: Any = coremltools.models.MLModel(str(folder), compute_units=coremltools.ComputeUnit[units])
        except Exception as error:  # Core ML's reasons have no common class
            raise ArtifactError(f"{self.name}: Core ML refuses it: {error}") from error

    def infer(self, tensor: np.ndarray) -> np.ndarray:
        """Run the model; see `Runner.infer`."""
        from PIL import Image

        found = self._model.predict({self.manifest.input.name: Image.fromarray(tensor[0])})
        return np.asarray(found[self.manifest.output.name])[0]


def _image_input(specification: Any, manifest: Manifest, name: str) -> tuple[str, list[int]]:
    """The input's name, and from which of red, green and blue each of its channels comes."""
    from coremltools.proto import FeatureTypes_pb2

    inputs = specification.description.input
    kind = inputs[0].type.WhichOneof("Type") if len(inputs) == 1 else f"{len(inputs)} inputs"
    if kind != "imageType":
        raise ArtifactError(f"{name}: its input is {kind}, expected one image; export it with mobile-seg")
    image, spec = inputs[0].type.imageType, manifest.input
    if (image.height, image.width, inputs[0].name) != (spec.height, spec.width, spec.name):
        raise ArtifactError(
            f"{name}: its input {inputs[0].name!r} is {image.height} x {image.width} but its manifest says "
            f"{spec.name!r}, {spec.height} x {spec.width}; they are not of one model, export it again"
        )
    spaces = FeatureTypes_pb2.ImageFeatureType.ColorSpace
    orders = {spaces.Value("RGB"): [0, 1, 2], spaces.Value("BGR"): [2, 1, 0]}
    if image.colorSpace not in orders:
        raise ArtifactError(f"{name}: its image is neither RGB nor BGR; export it with mobile-seg")
    return str(inputs[0].name), orders[image.colorSpace]


def _check_output(specification: Any, manifest: Manifest, name: str) -> None:
    from coremltools.proto import FeatureTypes_pb2

    outputs, spec = specification.description.output, manifest.output
    if len(outputs) != 1 or outputs[0].type.WhichOneof("Type") != "multiArrayType":
        raise ArtifactError(f"{name} has {len(outputs)} outputs, expected one array; export it with mobile-seg")
    array = outputs[0].type.multiArrayType
    depth = [] if spec.gives_labels else [len(manifest.classes)]
    said = spec.name, spec.dtype, [1, spec.height, spec.width, *depth]
    try:
        kind = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name(array.dataType).lower()
    except ValueError:
        kind = f"type {array.dataType}"
    found = outputs[0].name, kind, [int(side) for side in array.shape]
    if found != said:
        raise ArtifactError(
            f"{name}: its output is {found} but its manifest says {said}; they are not of one model, export it again"
        )
