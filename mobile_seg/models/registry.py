"""Every network by name: the one list that the command line, the docs and the tests go through."""

import dataclasses
from typing import Any

from mobile_seg.errors import UsageError, choose
from mobile_seg.models.entry import Entry
from mobile_seg.models.zoo import ENTRIES

ACTIVATIONS = ("relu6", "relu", "swish", "hard_swish")


def names() -> tuple[str, ...]:
    """The names that `build` accepts."""
    return tuple(entry.name for entry in ENTRIES)


def find(name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        UsageError: for an unknown name, listing the known ones.
    """
    choose("model", name, names())
    return next(entry for entry in ENTRIES if entry.name == name)


def build(
    name: str,
    *,
    input_size: tuple[int, int],
    classes: int,
    head: str | None = None,
    output_stride: int | None = None,
    **options: Any,
) -> Any:
    """Build an untrained network on images `[N, H, W, 3]` (RGB, 0..255).

    A semantic head gives logits `[N, h, w, classes]`; what the others give, their functions say. `input_size`
    is (height, width). Without `head` and `output_stride` the network's own first are taken. `options` are
    fields of three records: the family's (such as `drop_path`), the head's (such as `aspp_rates`) and
    `blocks.Style` (`activation`, `bn_momentum`: it suits runs of thousands of steps; below a few hundred, 0.9
    lets the moving statistics catch up).

    Raises:
        UsageError: for an unknown name, head, stride, activation or option, or a size the network cannot take.
    """
    entry = find(name)
    entry.check_input_size(input_size)
    head = choose("head", head or entry.heads[0], entry.heads)
    output_stride = output_stride or entry.output_strides[0]
    if output_stride not in entry.output_strides:
        raise UsageError(f"output_stride={output_stride} is not offered; choose from {entry.output_strides}.")
    if classes < 2:
        raise UsageError(f"classes={classes}: at least 2 are needed to tell apart.")
    choose("activation", options.get("activation", ACTIVATIONS[0]), ACTIVATIONS)
    import keras

    from mobile_seg.models.blocks import Style
    from mobile_seg.models.families import FAMILIES
    from mobile_seg.models.heads import HEADS

    family, attached = FAMILIES[entry.family], HEADS[head]
    records: tuple[Any, ...] = (family.row, attached.options, Style)
    known = [{field.name for field in dataclasses.fields(record)} for record in records]
    for option in options:
        choose("option", option, sorted(set().union(*known)))
    own = (entry.row, entry.head_options.get(head, {}), entry.style)
    row, head_options, style = (
        record(**{**defaults, **{key: value for key, value in options.items() if key in fields}})
        for record, fields, defaults in zip(records, known, own, strict=True)
    )
    image = keras.Input((*input_size, 3), name="image")
    # (byte - 128) / 128 puts zero on a whole byte: a uint8 input with scale 1/128 and zero point 128 is
    # the camera's bytes as they are, and padding with zero is the same number in float and in int8.
    x = keras.layers.Rescaling(1 / 128, offset=-1.0, name="stem_normalize")(image)
    features = family.backbone(x, row, output_stride=output_stride, style=style)
    outputs = attached.attach(features, classes=classes, head=head_options, style=style)
    return keras.Model(image, outputs, name=name)
