"""Look into an `.mlpackage` through its protobuf; nothing is run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_seg.files import size_of
from mobile_seg.inspection.records import Inspection, Layer, Quantization, Tensor, damaged, most_frequent
from mobile_seg.inspection.weights import Constant, Weights, stored_as
from mobile_seg.manifest import MEMBER, Manifest
from mobile_seg.verify.coreml.package import Package, protobuf, read_package

RUNTIMES = {4: "iOS 13", 5: "iOS 14", 6: "iOS 15", 7: "iOS 16", 8: "iOS 17", 9: "iOS 18", 10: "iOS 26"}
"""Specification version → the first system that reads it; macOS has the same number from 26 on, before that less 3."""

BITS = {"bool": 8, "float64": 64, "int64": 64, "uint64": 64}
"""Bits of a value, where the type's name does not end in them."""

UNPACKING = ("const", "dequantize", "identity")
"""Operations that, on a constant, only bring it into another form; `constexpr_…` too."""


def inspect_coreml(path: Path) -> Inspection:
    """Look into a package.

    Raises:
        ArtifactError: if it is damaged.
        MissingExtraError: if coremltools is not installed.
    """
    package = read_package(path)
    model = package.specification
    kind = model.WhichOneof("Type")
    if kind is None:
        raise damaged(path, "its specification holds no model")
    description = model.description
    found = _Program(path, package) if kind == "mlProgram" else None
    metadata, text = _metadata(description.metadata)
    needs = RUNTIMES.get(model.specificationVersion, "an iOS that is newer than this mobile-seg")
    return Inspection(
        path=str(path),
        format="Core ML package" if found else f"Core ML package ({kind}, not an ML Program)",
        size_bytes=size_of(path),
        runtime=f"Core ML of {needs} or later (specification version {model.specificationVersion})",
        inputs=tuple(_shown(feature) for feature in description.input),
        outputs=tuple(_shown(feature) for feature in description.output),
        quantization=found.quantization() if found else Quantization("unknown", 0, 0),
        operations=most_frequent(found.kinds() if found else _old_layers(model, kind)),
        layers=found.layers() if found else (),
        metadata=metadata,
        files=tuple((name.removeprefix("@model_path/"), len(content)) for name, content in package.blobs.items()),
        manifest=None if text is None else Manifest.from_json(text),
    )


class _Program:
    """An ML Program: the operations of all its functions, and what they hold."""

    def __init__(self, path: Path, package: Package) -> None:
        self.path, self.package, self.numbers = path, package, protobuf().MIL__pb2.DataType
        self.operations = list(_operations(package.specification.mlProgram))
        self.constants = {
            (function, operation.outputs[0].name): operation.attributes["val"]
            for function, operation in self.operations
            if operation.outputs and "val" in operation.attributes
        }

    def kinds(self) -> Iterator[str]:
        """Operations, constants left out."""
        return (operation.type for _, operation in self.operations if operation.type != "const")

    def layers(self) -> tuple[Layer, ...]:
        """Constants by the operation that reads them."""
        weights = Weights()
        for function, operation in self.operations:
            outputs = [(function, output.name) for output in operation.outputs]
            own = outputs[0][1] if outputs else operation.type
            named = {**operation.attributes, **_values(operation)}
            for name, value in named.items():
                weights.constant((function, own, name), self._constant(own, value))
            given = [one.name for argument in operation.inputs.values() for one in argument.arguments if one.name]
            read: list[tuple[str, ...]] = [(function, name) for name in given]
            read += [(function, own, name) for name in named]
            weights.operation(own, operation.type, inputs=read, outputs=outputs, unpacks=_unpacks(operation.type))
        return weights.layers()

    def quantization(self) -> Quantization:
        """What activations are rounded to, what weights are stored as, and how many scales each has."""
        stored = stored_as(self.layers())
        computed = {
            self._type(output.type.tensorType)[0]
            for _, operation in self.operations
            if not _unpacks(operation.type) and operation.type != "cast"
            for output in operation.outputs
        }
        rounded = sorted({"int8", "uint8"} & computed)
        floats = sorted(computed & {"float16", "float32"})
        words = f"{' and '.join(rounded)} activations, " if rounded else f"{' and '.join(floats)} activations, "
        palettes = any(operation.type.startswith("constexpr_lut") for _, operation in self.operations)
        form = "palettized weights" if palettes else "weights"
        counts = [count for function, operation in self.operations for count in self._scales(function, operation)]
        return Quantization(f"{words}{stored} {form}", counts.count(1), sum(count > 1 for count in counts))

    def _scales(self, function: str, operation: Any) -> Iterator[int]:
        """How many scales an operation has that quantizes or unpacks."""
        if "quantize" not in operation.type and operation.type != "constexpr_blockwise_shift_scale":
            return
        held = {**operation.attributes, **_values(operation)}.get("scale")
        if held is None and "scale" in operation.inputs:
            named = (self.constants.get((function, one.name)) for one in operation.inputs["scale"].arguments)
            held = next(named, None)
        if held is not None:
            yield math.prod(self._type(held.type.tensorType)[1])

    def _constant(self, name: str, value: Any) -> Constant:
        """A tensor in the weights file; those in the specification itself are small."""
        if value.WhichOneof("value") != "blobFileValue":
            return Constant(name, "", (), 0)
        dtype, shape = self._type(value.type.tensorType)
        size = math.prod(shape) * _bits(dtype) // 8
        reference = value.blobFileValue
        held = len(self.package.blobs.get(reference.fileName, b""))
        if min(shape, default=1) < 0 or reference.offset + size > held:
            raise damaged(self.path, f"weights of {list(shape)} {dtype} lie outside {reference.fileName!r}")
        return Constant(name, dtype, shape, size)

    def _type(self, kind: Any) -> tuple[str, tuple[int, ...]]:
        number = kind.dataType
        name = self.numbers.Name(number).lower() if number in self.numbers.values() else f"type {number}"
        sides = (one.constant.size if one.WhichOneof("dimension") == "constant" else -1 for one in kind.dimensions)
        return name, tuple(int(side) for side in sides)


def _operations(program: Any) -> Iterator[tuple[str, Any]]:
    """(function, operation), those of blocks inside operations too."""

    def within(name: str, block: Any) -> Iterator[tuple[str, Any]]:
        for operation in block.operations:
            yield name, operation
            for inner in operation.blocks:
                yield from within(name, inner)

    for name, function in sorted(program.functions.items()):
        block = function.block_specializations.get(function.opset)
        if block is not None:
            yield from within(name, block)


def _values(operation: Any) -> dict[str, Any]:
    """What stands in the arguments themselves, without a name."""
    return {
        name: one.value
        for name, given in operation.inputs.items()
        for one in given.arguments
        if one.WhichOneof("binding") == "value"
    }


def _unpacks(kind: str) -> bool:
    return kind in UNPACKING or kind.startswith("constexpr_")


def _bits(dtype: str) -> int:
    digits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    return BITS.get(dtype) or (int(digits) if digits.isdecimal() else 8)


def _shown(feature: Any) -> Tensor:
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        colours = type(image).ColorSpace
        name = colours.Name(image.colorSpace) if image.colorSpace in colours.values() else "unknown colours"
        return Tensor(feature.name, (int(image.height), int(image.width)), f"image ({name})")
    if kind == "multiArrayType":
        array = feature.type.multiArrayType
        types = type(array).ArrayDataType
        name = types.Name(array.dataType).lower() if array.dataType in types.values() else "unknown type"
        return Tensor(feature.name, tuple(int(side) for side in array.shape), "float64" if name == "double" else name)
    return Tensor(feature.name, (), kind or "nothing")


def _old_layers(model: Any, kind: str) -> Iterator[str]:
    """The layers of a network in the form before ML Programs."""
    for layer in getattr(getattr(model, kind), "layers", ()):
        yield layer.WhichOneof("layer") or "unknown"


def _metadata(metadata: Any) -> tuple[dict[str, Any], str | None]:
    """What Xcode shows and the user-defined pairs; and our manifest's text."""
    own = dict(sorted(metadata.userDefined.items()))
    text = own.pop(MEMBER, None)
    about = {
        "description": metadata.shortDescription,
        "version": metadata.versionString,
        "author": metadata.author,
        "license": metadata.license,
    }
    return {**{key: value for key, value in about.items() if value}, **own}, text
