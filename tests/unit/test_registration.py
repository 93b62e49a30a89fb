"""Our layers are known to Keras whichever is imported first, and a saved model needs nothing else."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras import layers
from unit.quantization.nets import images, logits, net

from mobile_seg.quantization import quantize
from mobile_seg.registration import MODULES

KNOWN = """
import keras, sys
from mobile_seg.layers import WeightedSum
from mobile_seg.quantization import arithmetic, fake_quant, linear, linear_layers
known = keras.saving.get_custom_objects()
assert known["mobile_seg>WeightedSum"] is WeightedSum
assert known["mobile_seg>FakeQuant"] is fake_quant.FakeQuant
assert known["mobile_seg>QuantAdd"] is arithmetic.QuantAdd
assert known["mobile_seg>QuantConv2D"] is linear_layers.QuantConv2D
assert issubclass(linear_layers.QuantConv2D, linear.QuantLinear)
assert all(sys.modules[name].__spec__.origin for name in sys.modules if name.startswith("mobile_seg."))
"""


def _run(code: str, *arguments: str) -> str:
    """Run Python in a process of its own; return what it printed."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    ran = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


# One process each: what is imported first is imported once.
FIRST = ["keras", "mobile_seg.quantization.linear"]
OTHERS = ["mobile_seg", "mobile_seg.quantization.settle", *(name for name in MODULES if name not in FIRST)]


@pytest.mark.parametrize("first", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_any_import_may_come_first(first: str) -> None:
    _run(f"import {first}\n{'import mobile_seg' if first == 'keras' else 'import keras'}\n{KNOWN}")


def test_the_package_alone_loads_nothing_heavy() -> None:
    _run("import sys, mobile_seg; assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)")


TRAIN_AND_EXPORT = """
import hashlib, sys
import numpy as np
{imports}
from mobile_seg.quantization.settle import settle
model = keras.saving.load_model(sys.argv[1])
pixels = np.load(sys.argv[2]).astype("float32")
print(hashlib.sha256(np.asarray(model(pixels, training=False)).tobytes()).hexdigest())
model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
first = [float(model.train_on_batch(pixels, np.zeros(model.output_shape[1:])[None].repeat(len(pixels), 0)))
         for _ in range(3)]
assert first[-1] < first[0]
settle(model)
files = [mobile_seg.to_tflite(model) for _ in range(2)]
assert files[0] == files[1]
model.save(sys.argv[1])
again = keras.saving.load_model(sys.argv[1])
assert mobile_seg.to_tflite(again) == files[0]
from unit.quantization.nets import run
(made, (scale, zero_point)), = run(files[0], (pixels.astype("uint8") ^ 0x80).view("int8"))
expected = np.round(np.asarray(again(pixels, training=False)) / scale) + zero_point
assert np.abs(made - expected).max() == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["import mobile_seg, keras", "import keras, mobile_seg"])
def test_a_saved_model_is_loaded_trained_settled_and_exported_elsewhere(imports: str, tmp_path: Path) -> None:
    def body(x: object) -> object:
        x = layers.ReLU(6)(layers.BatchNormalization()(layers.Conv2D(6, 3, strides=2, padding="same")(x)))
        y = layers.Activation("hard_swish")(layers.DepthwiseConv2D(3, padding="same")(x))
        return layers.Conv2D(3, 1)(layers.Multiply()([x, y]))

    model = quantize(net(body), [images().astype("float32")])
    path, shown = tmp_path / "model.keras", tmp_path / "images.npy"
    model.save(path)
    np.save(shown, images())
    printed = _run(TRAIN_AND_EXPORT.format(imports=imports), str(path), str(shown))
    assert printed.split()[0] == hashlib.sha256(logits(model, images()).tobytes()).hexdigest()
