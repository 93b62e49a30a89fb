"""The values of a dataset YAML, checked one by one; each error names the file, the key and the fix."""

from pathlib import Path
from typing import Any

import yaml

from mobile_seg.errors import UsageError

IGNORE = 255
"""The label value that is not a class, in every label map handed out."""

HIGHEST_RAW = 65535


class _StrictLoader(yaml.SafeLoader):
    """YAML without silent losers: a key given twice is an error, where PyYAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen and isinstance(key_node, yaml.ScalarNode):
                line = key_node.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"{key_node.value!r} is given twice (again on line {line})")
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def parse(file: Path) -> dict[Any, Any]:
    """Return the mapping in the YAML file."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; give the path of a dataset YAML") from error
    try:
        value = yaml.load(content, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{file} is not valid YAML: {reason}; correct it") from error
    if not isinstance(value, dict):
        raise UsageError(f"{file} holds {_kind(value)}, not `key: value` lines; see mobile_seg.data.load_dataset")
    return value


def string(value: Any, key: str, file: Path) -> str:
    """Return `value` if it is text."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{file}: {key} must be text, not {_kind(value)}; put it in quotes if it is meant as text")
    return value


def string_or_list(value: Any, key: str, file: Path) -> str | list[str]:
    """Return a folder or list file as text, or the lines of a list."""
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return value
    if isinstance(value, str) and value.strip():
        return value
    raise UsageError(f"{file}: {key} must be a folder, a .txt file or a list of image paths, not {_kind(value)}")


def names(value: Any, file: Path) -> tuple[str, ...]:
    """Return the class names from a list or from {id: name}."""
    if isinstance(value, dict):
        ids = [key for key in value if _is_int(key)]
        if sorted(ids) != list(range(len(value))):
            raise UsageError(f"{file}: names must have the ids 0 to {len(value) - 1}, each once, not {list(value)}")
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, list) or not value:
        raise UsageError(f"{file}: names must be a list of names or {{id: name}}, not {_kind(value)}")
    result = tuple(string(name, "each of names", file) for name in value)
    twice = sorted({name for name in result if result.count(name) > 1})
    if twice:
        raise UsageError(
            f"{file}: names has {', '.join(map(repr, twice))} more than once; give each class its own name"
        )
    if len(result) > IGNORE:
        raise UsageError(f"{file}: names has {len(result)} classes; label maps of 8 bits hold at most {IGNORE}")
    return result


def palette(value: Any, file: Path) -> tuple[tuple[int, int, int], ...]:
    """Return the colours, each three integers 0..255."""
    if not isinstance(value, list):
        raise UsageError(f"{file}: palette must be a list of [red, green, blue], not {_kind(value)}")
    for index, colour in enumerate(value):
        is_list = isinstance(colour, list) and len(colour) == 3
        if not is_list or not all(_is_int(part) and 0 <= part <= 255 for part in colour):
            raise UsageError(f"{file}: palette[{index}] is {colour!r}; give [red, green, blue], each 0 to 255")
    return tuple((red, green, blue) for red, green, blue in value)


def mapping(value: Any, classes: int, file: Path) -> dict[int, int]:
    """Return {raw value: class id or 255}; empty for None."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{file}: label_mapping must be {{raw value: class id}}, not {_kind(value)}")
    for raw, target in value.items():
        if not _is_raw(raw):
            raise UsageError(f"{file}: label_mapping has the raw value {raw!r}; give an integer 0 to {HIGHEST_RAW}")
        if not _is_int(target) or not (0 <= target < classes or target == IGNORE):
            raise UsageError(
                f"{file}: label_mapping sends {raw} to {target!r}; "
                f"give a class id 0 to {classes - 1}, or {IGNORE} to ignore"
            )
    return dict(value)


def raw_values(value: Any, file: Path) -> tuple[int, ...]:
    """Return one raw label value or a list of them."""
    values = value if isinstance(value, list) else [value]
    for raw in values:
        if not _is_raw(raw):
            raise UsageError(
                f"{file}: ignore is {value!r}; give a raw label value 0 to {HIGHEST_RAW}, or a list of them"
            )
    return tuple(values)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_raw(value: Any) -> bool:
    return _is_int(value) and 0 <= value <= HIGHEST_RAW


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"
