"""The files of an `.mlpackage`, the same for the same model."""

import hashlib
import json
import uuid
from typing import Any

FOLDER = "com.apple.CoreML"
SPECIFICATION = f"{FOLDER}/model.mlmodel"
WEIGHTS = f"{FOLDER}/weights"

_ITEMS = (
    (SPECIFICATION, "model.mlmodel", "CoreML Model Specification"),
    (WEIGHTS, "weights", "CoreML Model Weights"),
)


def package(specification: Any, weights: bytes) -> dict[str, bytes]:
    """Return path inside → bytes.

    The specification is a `Model_pb2.Model` that refers to `@model_path/weights/weight.bin`, if there is one. Items
    are listed under identifiers that nothing else refers to: made from the content, they do not change with the day.
    """
    model = specification.SerializeToString(deterministic=True)
    digest = hashlib.sha256(model + weights).hexdigest()
    items = {
        str(uuid.uuid5(uuid.NAMESPACE_OID, f"{digest}/{path}")): {
            "author": FOLDER,
            "description": description,
            "name": name,
            "path": path,
        }
        for path, name, description in (_ITEMS if weights else _ITEMS[:1])
    }
    listing = {"fileFormatVersion": "1.0.0", "itemInfoEntries": items, "rootModelIdentifier": next(iter(items))}
    files = {
        "Manifest.json": (json.dumps(listing, indent=4, sort_keys=True) + "\n").encode(),
        f"Data/{SPECIFICATION}": model,
    }
    return files | ({f"Data/{WEIGHTS}/weight.bin": weights} if weights else {})
