"""Looking into `.keras` files."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.verify import tiny

from mobile_seg.errors import ArtifactError
from mobile_seg.inspection.child import Child
from mobile_seg.inspection.dispatch import inspect_file
from mobile_seg.inspection.keras import inspect_keras
from mobile_seg.inspection.records import Layer, Tensor
from mobile_seg.keras_file import save_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keras") / "tiny.keras"
    return save_model(tiny.keras_model(), path, tiny.manifest())


def test_what_the_configuration_says(saved: Path) -> None:
    found = inspect_keras(saved)
    assert found.runtime.startswith("Keras 3.")
    assert found.inputs == (Tensor("image", (-1, 16, 24, 3), "float32"),)
    assert dict(found.operations) == {"Conv2D": 2, "InputLayer": 1, "ReLU": 1, "Rescaling": 1}
    assert found.manifest == tiny.manifest()
    assert found.quantization.precision == "float32"


def test_what_keras_adds(saved: Path, tmp_path: Path) -> None:
    """One process for both: TensorFlow takes seconds to load."""
    strange = tmp_path / "strange.keras"
    strange.write_bytes(_with_config(saved, lambda text: text.replace('"Conv2D"', '"NeverHeardOf"')))
    with Child() as child:
        found = inspect_file(saved, child=child)
        refused = inspect_file(strange, child=child)
        assert child.started == 1
    assert [one.shape for one in found.outputs] == [(-1, 4, 6, 4)]
    # Kernel 4 x 4 x 3 x 8 and 8 biases; 8 x 4 without biases.
    assert found.layers == (
        Layer("stem_conv", "Conv2D", "float32", (4, 4, 3, 8), 4 * (384 + 8)),
        Layer("segmentation", "Conv2D", "float32", (1, 1, 8, 4), 4 * 32),
    )
    assert [verdict.accepted for verdict in found.verdicts] == [True]
    assert [verdict.accepted for verdict in refused.verdicts] == [False]
    assert dict(refused.operations)["NeverHeardOf"] == 2


def _with_config(path: Path, change: Callable[[str], str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "config.json" else content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "config", ["", "[]", '{"config": 3}', '{"config": {"layers": [3]}}', "[" * 100_000, '{"config": {"layers": [{}]}}']
)
def test_a_configuration_that_is_not_keras_is_refused(saved: Path, tmp_path: Path, config: str) -> None:
    path = tmp_path / "odd.keras"
    path.write_bytes(_with_config(saved, lambda _: config))
    with pytest.raises(ArtifactError, match=r"odd.keras cannot be read: config.json inside it is not Keras'"):
        inspect_keras(path)


def test_a_file_cut_in_half_is_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.keras"
    path.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    with pytest.raises(ArtifactError, match=r"half.keras cannot be read: it holds no config.json"):
        inspect_keras(path)
