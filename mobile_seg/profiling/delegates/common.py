"""Rules that several delegates have in common, made with their own limits and source."""

from collections.abc import Iterable

from mobile_seg.profiling.delegates.graph import Operation
from mobile_seg.profiling.delegates.rules import EIGHT_BIT, Rule, listed, shown

QUANTIZE_ALL = "Export with `--precision int8`, which leaves no float operation inside the file."
STAY_FLOAT = "Export a float32 or float16 file for this delegate."


def _made(rule: Rule, *, name: str, sentence: str, source: str, fix: str) -> Rule:
    rule.__name__, rule.__doc__ = name, f"{sentence}\n\nSource: {source}\nFix: {fix}"
    return rule


def types(inputs: Iterable[str], outputs: Iterable[str] | None = None, *, source: str, fix: str) -> Rule:
    """Return the rule that what is computed has one of these types; `outputs` are as `inputs` unless given."""
    taken = tuple(inputs)
    made = taken if outputs is None else tuple(outputs)

    def rule(operation: Operation) -> str | None:
        wrong = [shown(one) for one in operation.data if one.dtype not in taken]
        wrong += [shown(one) for one in operation.outputs if one.dtype not in made]
        return f"it has {', '.join(wrong)}" if wrong else None

    sentence = f"Inputs must be {listed(taken)}" + ("." if taken == made else f", outputs {listed(made)}.")
    return _made(rule, name="tensor_types", sentence=sentence, source=source, fix=fix)


def newest(version: int, *, source: str, fix: str) -> Rule:
    """Return the rule that an operation's version is at most `version`."""

    def rule(operation: Operation) -> str | None:
        return f"it is version {operation.version}" if operation.version > version else None

    sentence = f"The operation's version must be {version} at most."
    return _made(rule, name="operation_version", sentence=sentence, source=source, fix=fix)


def activations(taken: Iterable[str], *, source: str) -> Rule:
    """Return the rule that what is fused into an operation is one of these."""
    allowed = tuple(taken)

    def rule(operation: Operation) -> str | None:
        return None if operation.activation in allowed else f"{operation.activation} is fused into it"

    only = allowed == ("NONE",)
    sentence = "Nothing may be fused into it." if only else f"A fused activation must be {listed(allowed)}."
    fix = "Write the activation as a layer of its own." if only else "Use RELU or RELU6, or no fused activation."
    return _made(rule, name="fused_activation", sentence=sentence, source=source, fix=fix)


def constant(at: Iterable[int], what: str, *, source: str, unpacked: bool = True) -> Rule:
    """Return the rule that the inputs at these places are constants, or were only to be `unpacked`."""
    places = tuple(at)

    def rule(operation: Operation) -> str | None:
        for place in places:
            tensor = operation.inputs[place] if place < len(operation.inputs) else None
            if tensor is not None and not (tensor.constant or (unpacked and tensor.unpacked)):
                return f"input {place} is computed"
        return None

    fix = "Fix the sizes in the network, so that the converter folds this into a constant."
    return _made(rule, name=f"constant_{what}", sentence=f"Its {what} must be constant.", source=source, fix=fix)


def ranks(lowest: int, highest: int, *, at: int = 0, source: str) -> Rule:
    """Return the rule that the input at a place has so many sides."""

    def rule(operation: Operation) -> str | None:
        tensor = operation.inputs[at] if at < len(operation.inputs) else None
        if tensor is None or lowest <= tensor.rank <= highest:
            return None
        return f"it is {shown(tensor)}"

    count = str(lowest) if lowest == highest else f"{lowest} to {highest}"
    sentence = f"The input must have {count} sides."
    fix = "Keep images as [N, H, W, C] to the end of the graph."
    return _made(rule, name="number_of_sides", sentence=sentence, source=source, fix=fix)


def inputs(lowest: int, highest: int, *, source: str, fix: str) -> Rule:
    """Return the rule that an operation has so many inputs."""

    def rule(operation: Operation) -> str | None:
        count = len(operation.inputs)
        return None if lowest <= count <= highest else f"it has {count} inputs"

    count = str(lowest) if lowest == highest else f"{lowest} to {highest}"
    return _made(rule, name="number_of_inputs", sentence=f"It must have {count} inputs.", source=source, fix=fix)


def only_eight_bits(*, source: str) -> Rule:
    """Return the rule that everything computed is 8-bit integer."""
    return types(EIGHT_BIT, source=source, fix=QUANTIZE_ALL)
