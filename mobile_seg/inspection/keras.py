"""Look into a `.keras` file: its configuration here, its weights in the child process that loads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mobile_seg.inspection.archive import members
from mobile_seg.inspection.records import Inspection, Quantization, Tensor, damaged, most_frequent
from mobile_seg.manifest import MEMBER

CONFIG, ABOUT = "config.json", "metadata.json"


def inspect_keras(path: Path) -> Inspection:
    """Look into a file; sizes by layer and the outputs' shapes are the child's to add (`inspect_file`).

    Raises:
        ArtifactError: if it is damaged, or of Keras' older formats.
    """
    content = path.read_bytes()
    held = members(path, content, wanted=(CONFIG, ABOUT, MEMBER))
    if CONFIG not in held.texts:
        raise damaged(path, f"it holds no {CONFIG}, as files of Keras 3 do")
    try:
        config, about = json.loads(held.texts[CONFIG]), json.loads(held.texts.get(ABOUT, "{}"))
        layers = list(_layers(config))
        inputs = tuple(_input(layer) for layer in layers if layer.get("class_name") == "InputLayer")
        operations = most_frequent(str(layer["class_name"]) for layer in layers)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, f"{CONFIG} inside it is not Keras' ({type(error).__name__})") from error
    if not isinstance(about, dict):
        raise damaged(path, f"{ABOUT} inside it is not Keras'")
    manifest = held.manifest
    return Inspection(
        path=str(path),
        format="Keras",
        size_bytes=len(content),
        runtime=f"Keras {about.get('keras_version', 'of unknown version')}",
        inputs=inputs,
        outputs=(),
        quantization=Quantization(_precision(config, manifest.precision if manifest else None), 0, 0),
        operations=operations,
        layers=(),
        metadata=about,
        files=held.files,
        manifest=manifest,
    )


def _layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each layer's configuration, those of models inside models too."""
    for layer in config["config"].get("layers", ()):
        if "layers" in layer.get("config", {}):
            yield from _layers(layer)
        else:
            yield layer


def _input(layer: dict[str, Any]) -> Tensor:
    config = layer["config"]
    shape = config.get("batch_shape", config.get("batch_input_shape")) or ()
    sides = tuple(side if isinstance(side, int) else -1 for side in shape)
    dtype = config.get("dtype", "float32")
    return Tensor(str(config.get("name", "")), sides, dtype if isinstance(dtype, str) else "float32")


def _precision(config: dict[str, Any], said: str | None) -> str:
    """By the manifest, or by whether layers of quantization-aware training stand in it."""
    trained = any(str(layer.get("registered_name", "")).startswith("mobile_seg") for layer in _layers(config))
    return said or ("quantization-aware" if trained else "float32")
