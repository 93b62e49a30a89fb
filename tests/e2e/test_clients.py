"""Programs of others read our files: LiteRT's benchmark, Netron, and the last tflite-runtime.

`make test-clients` runs it together with MediaPipe's. Each program is installed into a Python of its own; Netron's
parsers are JavaScript and run in Node.js. Where one cannot be installed its tests are skipped, with the reason.
ONNX Runtime and OpenVINO read ours in tests/unit/converters.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from e2e.client_pythons import bare_environment, python_with
from unit.converters.targets import flat_graphs
from unit.quantization import nets

from mobile_seg.artifact import read_manifest
from mobile_seg.converters.coreml.writer import convert_coreml
from mobile_seg.converters.onnx.writer import convert_onnx
from mobile_seg.converters.options import ExportOptions
from mobile_seg.converters.tflite import convert
from mobile_seg.converters.tflite_versions import MIN_RUNTIME
from mobile_seg.inspection.tflite import inspect_tflite
from mobile_seg.models.registry import build
from mobile_seg.quantization.deploy import deploy_graph
from mobile_seg.quantization.lower import lower
from mobile_seg.quantization.settle import settle
from mobile_seg.verify.tflite_runner import open_tflite

pytestmark = pytest.mark.slow

SIZE, CLASSES = (64, 96), 5
SECONDS = 300
NETRON = Path(__file__).parent / "clients" / "netron.mjs"

OLD_RUNTIME = """
import sys
import numpy as np
from tflite_runtime.interpreter import Interpreter

model, images, out = sys.argv[1:]
interpreter = Interpreter(model_path=model)
interpreter.allocate_tensors()
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
found = []
for image in np.load(images):
    interpreter.set_tensor(given["index"], image[None])
    interpreter.invoke()
    found.append(interpreter.get_tensor(made["index"])[0])
np.save(out, np.stack(found))
"""

Export = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`export(target, precision)`: the network's file, each made once."""
    keras.utils.set_random_seed(0)
    network = build(
        "mobile_spinenet_s49_minus", input_size=SIZE, classes=CLASSES, aspp_rates=(1, 2, 3), bn_momentum=0.0
    )
    model = nets.as_if_trained(network)
    quantized = nets.calibrated(model)
    settle(quantized)
    folder = tmp_path_factory.mktemp("exports")
    writers = {
        "tflite": (convert, ".tflite"),
        "onnx": (convert_onnx, ".onnx"),
        "coreml": (convert_coreml, ".mlpackage"),
    }

    def run(target: str, precision: str) -> Path:
        write, suffix = writers[target]
        path = folder / f"{precision}{suffix}"
        if path.exists():
            return path
        integers = precision == "int8"
        graph = deploy_graph(quantized) if integers else lower(model) if target == "onnx" else model
        options = ExportOptions(target=target, precision=precision)
        made = write(graph, options=options, manifest=nets.manifest_of(model), integer_graph=integers)
        members = {"": made.content} if isinstance(made.content, bytes) else made.content
        for name, content in members.items():
            place = path / name if name else path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return path

    return run


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_litert_benchmark_times_it(export: Export, tmp_path: Path, precision: str) -> None:
    command = shutil.which("litert-benchmark", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("litert-benchmark is not beside this Python; install it with: pip install ai-edge-litert")
    result, model = tmp_path / "result.json", export("tflite", precision)
    arguments = [command, "--model", model, "--num_runs", 2, "--warmup_runs", 1, "--result_json", result]
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(result.read_text(encoding="utf-8"))
    (signature,) = inspect_tflite(model).metadata["signatures"]
    assert found["signature"] == signature["name"]
    assert found["latency"]["num_runs"] == 2
    assert found["latency"]["median_ms"] > 0


@pytest.fixture(scope="module")
def netron(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict[str, object]]:
    """`netron(model)`: what Netron reads in it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Netron's parsers run in Node.js: https://nodejs.org")
    python = python_with(tmp_path_factory.mktemp("netron"), "netron>=9,<10")
    where = [python, "-c", "import netron, os; print(os.path.dirname(netron.__file__))"]
    folder = subprocess.run(where, env=bare_environment(), capture_output=True, text=True, check=True).stdout.strip()
    # Its modules are JavaScript modules, and say so nowhere.
    (Path(folder) / "package.json").write_text('{"type": "module"}', encoding="utf-8")

    def read(model: Path) -> dict[str, object]:
        command = [node, str(NETRON), folder, str(model)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, object] = json.loads(done.stdout)
        return found

    return read


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize(
    ("target", "form", "image", "convolutions"),
    [
        ("tflite", "TensorFlow Lite", "uint8[1,64,96,3]", {"Conv2D", "DepthwiseConv2D"}),
        ("onnx", "ONNX", "uint8[1,64,96,3]", {"Conv"}),
        ("coreml", "Core ML Package", "image<RGB,96x64>", {"conv"}),
    ],
)
def test_netron_shows_it(
    export: Export,
    netron: Callable[[Path], dict[str, object]],
    target: str,
    form: str,
    image: str,
    convolutions: set[str],
    precision: str,
) -> None:
    found = netron(export(target, precision))
    assert str(found["format"]).startswith(form)
    assert found["inputs"] == [["image", image]]
    assert len(list(found["outputs"])) == 1  # type: ignore[call-overload]
    kinds = Counter(found["kinds"])  # type: ignore[arg-type]
    network = build("mobile_spinenet_s49_minus", input_size=SIZE, classes=CLASSES, aspp_rates=(1, 2, 3))
    expected = sum(isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)) for layer in network.layers)
    # In float TFLite the projection behind the ASPP is two: its pooled pixel has one of its own.
    own = (target, precision) == ("tflite", "float32")
    assert sum(kinds[kind] for kind in convolutions) == expected + own


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_last_tflite_runtime_runs_it(
    export: Export, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, precision: str
) -> None:
    """Of 2023, the last under its old name; what the file says that it needs is no more than that."""
    model = export("tflite", precision)
    needed = inspect_tflite(model).metadata[MIN_RUNTIME]
    assert tuple(map(int, needed.split("."))) <= (2, 14)
    python = _old_runtime(tmp_path_factory)
    given, out = tmp_path / "images.npy", tmp_path / "logits.npy"
    images = nets.images(3, SIZE)
    np.save(given, images)
    command = [python, "-c", OLD_RUNTIME, str(model), str(given), str(out)]
    done = subprocess.run(command, env=bare_environment(), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert read_manifest(model) is not None
    found = np.load(out)
    if precision == "int8":  # its XNNPACK leaves integers to the plain kernels unless asked
        plain = [flat_graphs.run(model.read_bytes(), image[None], delegate=False) for image in images]
        assert (np.abs(found.astype(int) - np.concatenate(plain)) <= 2).mean() > 0.95
        return
    runner = open_tflite(model)
    ours = np.stack([runner.infer(runner.preprocess(image)) for image in images])
    np.testing.assert_allclose(found, ours, atol=1e-3 * np.abs(ours).max())


_MADE: dict[str, str] = {}


def _old_runtime(tmp_path_factory: pytest.TempPathFactory) -> str:
    if sys.version_info[:2] > (3, 11):
        pytest.skip("tflite-runtime 2.14 has wheels for Python up to 3.11")
    if "old" not in _MADE:
        _MADE["old"] = python_with(tmp_path_factory.mktemp("old"), "tflite-runtime==2.14.*", "numpy<2")
    return _MADE["old"]
