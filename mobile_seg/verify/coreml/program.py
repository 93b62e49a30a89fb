"""An ML Program, read from a specification and run operation by operation.

Core ML runs on Apple's systems only. What an artifact computes is written in its program; this evaluator reads that
program as saved, not the one in the converter's memory, and computes what MIL's reference says of each operation.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_seg.errors import ArtifactError
from mobile_seg.verify.coreml.blobs import Tensor, half, tensor_type, value_of
from mobile_seg.verify.coreml.operations import OPERATIONS
from mobile_seg.verify.coreml.quantized import dequantize

# fmt: off
_COPYING = frozenset((
    "relu", "relu6", "maximum", "minimum", "max_pool", "reduce_max", "reduce_min", "concat", "split", "stack",
    "transpose", "reshape", "squeeze", "expand_dims", "slice_by_index", "slice_by_size", "gather", "tile",
    "identity", "space_to_depth", "depth_to_space", "pixel_shuffle", "upsample_nearest_neighbor",
    "resize_nearest_neighbor", "dequantize",
))
# fmt: on
"""Operations whose values are rounded already where they are in half precision: they choose among them, but for
`dequantize`, which rounds a table."""


@dataclass(frozen=True)
class Step:
    """One operation: where its inputs come from, and what it must give.

    `inputs`: parameter → names of values (`joined`: as a tuple, however many), `outputs`: (name, data type, shape).
    """

    kind: str
    name: str
    function: Callable[..., Any]
    inputs: dict[str, tuple[str, ...]]
    joined: frozenset[str]
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...]


class Program:
    """The main function of an ML Program, with all that is constant computed."""

    def __init__(self, specification: Any, blobs: dict[str, bytes]) -> None:
        """Read a `Model_pb2.Model`; `blobs` are its weights files, by the names it has for them.

        Raises:
            ArtifactError: if it is no ML Program, is damaged, or has an operation that is not known here.
        """
        block = _main_block(specification)
        self.outputs = tuple(block.outputs)
        self._constants: dict[str, Tensor] = {}
        self._steps: list[Step] = []
        for number, operation in enumerate(block.operations):
            self._read(operation, blobs, number)
        self._last_reader = {
            name: index for index, step in enumerate(self._steps) for names in step.inputs.values() for name in names
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """The types of the operations that are run for each image, in order."""
        return tuple(step.kind for step in self._steps)

    def constant(self, name: str) -> Tensor:
        """Return a constant of the program, weights unfolded, by the name of its value.

        Raises:
            ArtifactError: if there is none of that name.
        """
        if name not in self._constants:
            raise ArtifactError(f"the program has no constant {name!r}; it has {len(self._constants)} others")
        return self._constants[name]

    def weights(self) -> dict[str, np.ndarray]:
        """Return the constants of floats that operations read, by the names of their values, as float32."""
        read = {name for step in self._steps for names in step.inputs.values() for name in names}
        held = {name: self._constants[name] for name in read if name in self._constants}
        return {
            name: value.astype(np.float32)
            for name, value in held.items()
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim
        }

    def _read(self, operation: Any, blobs: dict[str, bytes], number: int) -> None:
        kind = str(operation.type)
        name = _name(operation, number)
        outputs = tuple((one.name, *tensor_type(one.type.tensorType, one.name)) for one in operation.outputs)
        if kind == "const":
            self._constants[outputs[0][0]] = value_of(operation.attributes["val"], blobs, name)
            return
        inputs: dict[str, tuple[str, ...]] = {}
        joined = set()
        # Weights of `constexpr` operations are attributes in some versions, inputs in others.
        for parameter, value in operation.attributes.items():
            if parameter != "name":
                inputs[parameter] = (self._hold(f"{name}.{parameter}", value_of(value, blobs, name)),)
        for parameter, argument in operation.inputs.items():
            inputs[parameter] = tuple(
                one.name
                if one.WhichOneof("binding") == "name"
                else self._hold(f"{name}.{parameter}.{index}", value_of(one.value, blobs, name))
                for index, one in enumerate(argument.arguments)
            )
            if parameter == "values":
                joined.add(parameter)
        function = _function(kind, name, inputs)
        if function is dequantize and outputs[0][1] == "FLOAT16":
            function = functools.partial(dequantize, half_precision=True)
        step = Step(kind, name, function, inputs, frozenset(joined), outputs)
        if all(one in self._constants for names in inputs.values() for one in names):
            self._constants.update(_run(step, self._constants))
        else:
            self._steps.append(step)

    def _hold(self, name: str, value: Tensor) -> str:
        self._constants[name] = value
        return name

    def run(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the outputs from the inputs, float32 each, by name.

        Raises:
            ArtifactError: if an operation cannot be computed, with its name.
        """
        values = {**self._constants, **given}
        for index, step in enumerate(self._steps):
            values.update(_run(step, values))
            for names in step.inputs.values():
                for name in names:
                    if self._last_reader[name] == index and name not in self.outputs:
                        values.pop(name, None)
        lost = [name for name in self.outputs if name not in values]
        if lost:
            raise ArtifactError(f"the program never computes its output {lost[0]}; it is damaged: export it again")
        return {name: values[name] for name in self.outputs}


def _main_block(specification: Any) -> Any:
    kind = specification.WhichOneof("Type")
    if kind != "mlProgram":
        raise ArtifactError(
            f"it holds a {kind or 'nothing'}, expected an ML Program; convert it with mobile-seg export"
        )
    functions = specification.mlProgram.functions
    if "main" not in functions:
        raise ArtifactError(f"it has the functions {sorted(functions)}, expected main; export the model again")
    main = functions["main"]
    if main.opset not in main.block_specializations:
        raise ArtifactError(f"its function has no block for {main.opset}; the package is damaged: export it again")
    return main.block_specializations[main.opset]


def _name(operation: Any, number: int) -> str:
    if "name" in operation.attributes:
        return str(value_of(operation.attributes["name"], {}, "a name"))
    return operation.outputs[0].name if operation.outputs else f"operation {number}"


def _function(kind: str, name: str, inputs: dict[str, Any]) -> Callable[..., Any]:
    function = OPERATIONS.get(kind.split(".")[-1])
    if function is None:
        raise ArtifactError(
            f"operation {kind} ({name}) is not known here; the package can be checked on macOS, where Core ML runs it"
        )
    known = inspect.signature(function).parameters
    for parameter in inputs:
        if parameter not in known:
            raise ArtifactError(
                f"operation {kind} ({name}) has the parameter {parameter}, which is not known here; the package can be "
                "checked on macOS, where Core ML runs it"
            )
    return function


def _run(step: Step, values: dict[str, Tensor]) -> dict[str, Tensor]:
    arguments = {}
    for parameter, names in step.inputs.items():
        for name in names:
            if name not in values:
                raise ArtifactError(f"{step.name} reads {name}, which nothing computes before it; export it again")
        found = tuple(values[name] for name in names)
        arguments[parameter] = found if parameter in step.joined else found[0]
    try:
        with np.errstate(all="ignore"):
            made = step.function(**arguments)
    except ArtifactError:
        raise
    except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ArtifactError(
            f"{step.kind} ({step.name}) cannot be computed: {reason}; the package is damaged"
        ) from error
    results = made if isinstance(made, list) else [made]
    return {
        name: _checked(step, result, dtype, shape)
        for result, (name, dtype, shape) in zip(results, step.outputs, strict=True)
    }


def _checked(step: Step, result: Tensor, dtype: str, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(result, np.ndarray):
        result = np.asarray(result)
    if result.shape != shape:
        raise ArtifactError(
            f"{step.kind} ({step.name}) gives {list(result.shape)} where the program says {list(shape)}; the package "
            "is damaged, or its converter and this reading of the operation differ"
        )
    if dtype == "FLOAT16" and step.kind not in _COPYING:
        return half(result)
    return result.astype(np.float32, copy=False) if dtype == "FLOAT32" else result
