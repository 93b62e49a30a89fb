"""What decides a training, as one text: a checkpoint is resumed only where the texts are equal."""

import hashlib
import json
from typing import Any

from mobile_seg.data.description import Dataset


def settings_key(**settings: Any) -> str:
    """A text that two runs share exactly when their settings are the same."""
    return json.dumps(settings, sort_keys=True, default=str)


def differing(before: str, now: str) -> tuple[str, ...]:
    """The names of the settings that differ between two keys; empty for texts that are no keys."""
    try:
        old, new = dict(json.loads(before)), dict(json.loads(now))
    except (ValueError, TypeError):
        return ()
    return tuple(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))


def dataset_digest(dataset: Dataset) -> str:
    """What of a dataset decides the training: its classes, mapping and file names, as SHA-256."""
    names = [f"{pair.image.name}|{pair.label.name}" for pair in dataset.train]
    text = "\n".join([*dataset.classes, str(dataset.label_mapping), *names])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
