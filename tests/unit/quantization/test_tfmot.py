"""The TF-MOT bridge: the same network in legacy Keras, and what TF-MOT makes of it."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from mobile_seg.errors import ArtifactError, MissingExtraError, MobileSegError, UnsupportedLayerError, UsageError
from mobile_seg.models.registry import build
from mobile_seg.quantization.tf_keras_twin import KEPT, check_twin, leading_rescaling, load_extra, rebuild_in_tf_keras
from mobile_seg.quantization.tfmot import Training, run_tfmot
from mobile_seg.quantization.tfmot_export import export, file_size, float_bytes, ptq_bytes
from mobile_seg.quantization.tfmot_rewrite import cluster, prune, quantize_aware, strip
from mobile_seg.quantization.tfmot_train import stepper, train
from mobile_seg.training.losses import SegmentationLoss
from mobile_seg.training.recipe import OPTIMIZERS, UNDECAYED, Recipe, optimizer

SIZE = (16, 24)
PACKAGES = ("tf_keras", "tensorflow_model_optimization")


@pytest.fixture
def extra() -> tuple[Any, Any]:
    """(tf_keras, TF-MOT), or skip."""
    # Found, not imported (pytest.importorskip): that they import without a warning is what the bridge sees to.
    if not all(importlib.util.find_spec(name) for name in PACKAGES):
        pytest.skip('the extra is not installed: pip install "mobile-seg[tfmot]"')
    return load_extra()


def randomize(model: keras.Model) -> keras.Model:
    """Weights that training could have left, the same every time; a normalization that is not the identity."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        shape, kind = tuple(variable.shape), variable.path.rsplit("/")[-1]
        if kind == "kernel":
            fan_in = np.prod(shape[:2] if "depthwise" in variable.path else shape[:-1])
            variable.assign(rng.normal(0.0, 1.5 / np.sqrt(fan_in), shape))
        elif kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        else:
            variable.assign(rng.normal(0.0, 0.3, shape))
    return model


def images(count: int = 4, size: tuple[int, int] = SIZE) -> np.ndarray:
    """`[count, H, W, 3]` float32, 0..255: ramps from black, each brighter than the last."""
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(*size, 3)
    return np.stack([ramp * (index + 1) / count for index in range(count)]).astype(np.float32)


def batches(seed: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless pairs: the label of a pixel is whether it is bright."""
    rng = np.random.default_rng(seed)
    while True:
        shown = rng.uniform(0, 255, (4, *SIZE, 3)).astype(np.float32)
        yield shown, (shown.mean(axis=-1) > 127).astype(np.int32)


def training(steps: int, **changes: Any) -> Training:
    """A short recipe over `batches`."""
    return Training(Recipe(steps=steps, learning_rate=0.02, **changes), batches(), SegmentationLoss(), UNDECAYED)


def small_net() -> keras.Model:
    """Residual, dilated depthwise, pooled branch: what our networks are made of, 2 classes."""
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = stem = layers.Activation("relu6", name="stem_act")(x)
    x = layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, use_bias=False, name="mix_depthwise")(x)
    x = layers.BatchNormalization(name="mix_bn")(x)
    x = layers.ReLU(6.0, name="mix_act")(x)
    x = layers.Add(name="residual")([stem, x])
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    pooled = layers.UpSampling2D((SIZE[0] // 2, SIZE[1] // 2), name="pool_up")(pooled)
    x = layers.Concatenate(name="concat")([x, pooled])
    return randomize(keras.Model(image, layers.Conv2D(2, 1, name="logits")(x), name="small"))


def every_layer() -> keras.Model:
    """One of each layer of the table, several where a setting changes the arithmetic."""
    image = keras.Input((*SIZE, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0)(image)
    x = layers.ZeroPadding2D(((1, 0), (0, 1)))(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    x = layers.Conv2D(8, 3, padding="same", groups=2, dilation_rate=2, activation="silu")(x)
    x = layers.BatchNormalization(epsilon=0.01)(x)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="tanh")(x)
    y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
    y = layers.Conv2DTranspose(8, 3, strides=2, padding="same", output_padding=(0, 0), use_bias=False)(y)
    y = layers.Activation("silu")(layers.ReLU(max_value=4.0, negative_slope=0.1, threshold=0.2)(y))
    x = layers.Add()([x, y])
    z = layers.AveragePooling2D(3, strides=1, padding="same")(layers.SpatialDropout2D(0.3)(x))
    x = layers.Concatenate()([layers.Multiply()([x, z]), layers.Rescaling(0.5)(z)])
    up = [layers.UpSampling2D(2, interpolation=kind)(x) for kind in ("nearest", "bilinear")]
    x = layers.GlobalAveragePooling2D()(layers.Activation("relu6")(layers.Add()(up)))
    x = layers.Dropout(0.4)(layers.Dense(12, activation="sigmoid")(x))
    x = layers.Flatten()(layers.Reshape((3, 4))(x))
    return randomize(keras.Model(image, layers.Dense(5, activation="softmax")(x), name="every"))


def run_file(content: bytes, shown: np.ndarray) -> np.ndarray:
    """The file's outputs for what its input takes, one image at a time, as real numbers."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in shown:
        if given["dtype"] is np.int8:
            scale, zero = given["quantization"]
            image = np.clip(np.round(image / scale) + zero, -128, 127)
        interpreter.set_tensor(given["index"], image[None].astype(given["dtype"]))
        interpreter.invoke()
        value = interpreter.get_tensor(made["index"])[0].astype(np.float32)
        if made["dtype"] is np.int8:
            value = (value - made["quantization"][1]) * made["quantization"][0]
        outputs.append(value)
    return np.stack(outputs)


def int8_kernels(content: bytes) -> int:
    """How many values of convolution kernels are int8, by the interpreter's own account."""
    interpreter = Interpreter(model_content=content)
    details = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] is np.int8]
    return sum(int(np.prod(d["shape"])) for d in details if len(d["quantization_parameters"]["scales"]) > 1)


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    "call",
    [
        load_extra,
        lambda: rebuild_in_tf_keras(small_net()),
        lambda: quantize_aware(None),
        lambda: prune(None, sparsity=0.5, steps=10),
        lambda: cluster(None, clusters=8),
        lambda: strip(None),
        lambda: train(None, batches(), Recipe(steps=1), loss=SegmentationLoss()),
        lambda: run_tfmot(small_net(), method="ptq", images=[images()]),
    ],
    ids=["load", "rebuild", "quantize", "prune", "cluster", "strip", "train", "run"],
)
def test_without_the_extra_everything_names_the_install_line(
    call: Callable[[], Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    with pytest.raises(MissingExtraError, match=rf'needs {package}; .*pip install "mobile-seg\[tfmot\]"$'):
        call()


def test_legacy_keras_stays_behind_the_bridge(extra: tuple[Any, Any]) -> None:
    import tensorflow as tf

    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert tf.keras.version().startswith("3.")
    assert extra[0].__version__.startswith("2.")


def test_the_twin_of_every_layer_computes_the_same(extra: tuple[Any, Any]) -> None:
    model = every_layer()
    assert {type(layer) for layer in model.layers} == {*KEPT, layers.InputLayer}
    twin = rebuild_in_tf_keras(model)
    expected = keras.ops.convert_to_numpy(model(images(), training=False))
    assert expected.std(axis=0).max() > 1e-3, "the outputs say nothing about the images"
    np.testing.assert_allclose(np.asarray(twin(images())), expected, atol=1e-5)
    names = {layer.name for layer in model.layers}
    # The fused relu6 is the one layer more.
    assert {layer.name for layer in twin.layers} - names == {
        f"{layer.name}_act" for layer in model.layers if layer.get_config().get("activation") == "relu6"
    } - {f"{layer.name}_act" for layer in model.layers if type(layer) is layers.Activation}


def test_a_leading_rescaling_can_be_left_to_the_caller(extra: tuple[Any, Any]) -> None:
    model = small_net()
    assert leading_rescaling(model) == (1 / 128, -1.0)
    twin = rebuild_in_tf_keras(model, strip_rescaling=True)
    assert "normalize" not in {layer.name for layer in twin.layers}
    assert check_twin(model, twin, images(), images() / 128 - 1) < 1e-5
    with pytest.raises(MobileSegError, match=r"differ by .* of the largest output"):
        check_twin(model, twin, images(), images() / 127.5 - 1)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (layers.LayerNormalization(name="odd"), r"layer odd \(LayerNormalization\) has no counterpart"),
        (layers.Activation("hard_sigmoid", name="odd"), "layer odd has the activation 'hard_sigmoid'"),
        (layers.Conv2D(2, 1, kernel_regularizer="l2", name="odd"), "layer odd has a kernel_regularizer"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(layer: Any, said: str, extra: tuple[Any, Any]) -> None:
    image = keras.Input((*SIZE, 3))
    with pytest.raises(UnsupportedLayerError, match=said):
        rebuild_in_tf_keras(keras.Model(image, layer(image)))


@pytest.mark.slow
def test_the_twin_of_a_whole_network_computes_the_same(extra: tuple[Any, Any]) -> None:
    size = (64, 128)
    model = randomize(build("mobile_spinenet_s49_minus", input_size=size, classes=5))
    twin = rebuild_in_tf_keras(model)
    expected = keras.ops.convert_to_numpy(model(images(size=size), training=False))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(np.asarray(twin(images(size=size))), expected, rtol=1e-3, atol=1e-3 * expected.std())


def test_tfmot_trains_and_exports_what_it_annotated(extra: tuple[Any, Any]) -> None:
    model, shown = small_net(), images()
    told = []
    result = run_tfmot(
        model,
        method="qat",
        images=[shown],
        training=training(60),
        integer_io=True,
        progress=lambda done, total, text: told.append((done, total, text.split()[0])),
    )
    assert result.unannotated == ()
    assert result.source.difference < 1e-5
    assert told == [(20, 60, "tfmot"), (40, 60, "tfmot"), (60, 60, "tfmot")]
    trained = result.trained
    assert trained is not None
    assert trained.step_seconds is not None
    assert 0 < trained.step_seconds < trained.history[-1]["seconds"]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    normalized = result.source.normalize(shown)
    expected, found = np.asarray(result.model(normalized)), run_file(result.content, normalized)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.98
    kept = [layer.get_weights() for layer in result.source.twin.layers if layer.weights]
    given = [layer.get_weights() for layer in model.layers if layer.weights]
    np.testing.assert_equal(kept, given)


def test_what_tfmot_cannot_quantize_is_listed(extra: tuple[Any, Any]) -> None:
    model = every_layer()
    quantized, left = quantize_aware(rebuild_in_tf_keras(model, strip_rescaling=True))
    kinds = sorted(type(model.get_layer(name)).__name__ for name in left)
    # The normalization stands behind a convolution with an activation of its own.
    assert kinds == ["BatchNormalization", "Multiply", "Rescaling"]
    wrapped = {layer.layer.name for layer in quantized.layers if hasattr(layer, "layer")}
    assert wrapped.isdisjoint(left)
    assert len(wrapped) > 15


def test_a_model_that_tfmot_refuses_says_so_in_one_line(extra: tuple[Any, Any]) -> None:
    image = keras.Input((*SIZE, 3))
    twin = rebuild_in_tf_keras(keras.Model(image, layers.Multiply()([image, image]), name="odd"))
    with pytest.raises(UnsupportedLayerError, match=r"TF-MOT refuses odd: .*built-in engine instead$"):
        quantize_aware(twin)


@pytest.mark.parametrize("steps", [3, 10, 151])
def test_pruning_reaches_its_target(steps: int, extra: tuple[Any, Any]) -> None:
    twin = rebuild_in_tf_keras(small_net(), strip_rescaling=True)
    before = [np.copy(weight) for weight in twin.get_weights()]
    wrapped = prune(twin, sparsity=0.75, steps=steps)
    normalized = ((shown / 128 - 1, labels) for shown, labels in batches())
    train(wrapped, normalized, Recipe(steps=steps, learning_rate=0.01), loss=SegmentationLoss(), undecayed=UNDECAYED)
    plain = strip(wrapped)
    for name in ("stem_conv", "logits"):
        kernel = plain.get_layer(name).get_weights()[0]
        assert np.mean(kernel == 0) == pytest.approx(0.75, abs=1 / kernel.size)
    assert np.all(plain.get_layer("mix_depthwise").get_weights()[0] != 0)
    for kept, weight in zip(before, twin.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_step_is_that_of_our_own_loop(kind: str, extra: tuple[Any, Any]) -> None:
    model = small_net()
    twin = rebuild_in_tf_keras(model)
    recipe = Recipe(steps=4, optimizer=kind, learning_rate=0.01, warmup=0.0, weight_decay=0.01, clip_norm=0.5)
    model.compile(optimizer=optimizer(recipe, model.trainable_variables), loss=SegmentationLoss())
    step, _ = stepper(twin, recipe, loss=SegmentationLoss(), undecayed=UNDECAYED)
    shown, labels = next(batches())
    for _ in range(2):
        model.train_on_batch(shown, labels)
        step(shown, labels)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)


def test_sparsity_shows_in_the_file(extra: tuple[Any, Any]) -> None:
    model, shown = small_net(), [images()]
    dense = run_tfmot(model, method="ptq", images=shown, precision="float32")
    assert dense.size.zeros == 0
    stem, mix, logits = 3 * 3 * 3 * 8, 3 * 3 * 8, 16 * 2
    assert dense.size.weights == stem + mix + logits
    for precision in ("float32", "int8"):
        sparse = run_tfmot(model, method="prune", images=shown, precision=precision, training=training(6), sparsity=0.5)
        assert sparse.size.weights == dense.size.weights
        # int8 rounds a few more to zero.
        assert (stem + logits) / 2 <= sparse.size.zeros <= (stem + logits) * 0.6
        assert sparse.size.bytes == len(sparse.content)
        assert sparse.size.compressed < sparse.size.bytes
        normalized = sparse.source.normalize(shown[0])
        expected = np.asarray(sparse.model(normalized))
        assert np.abs(run_file(sparse.content, normalized) - expected).max() < 0.05 * np.ptp(expected)


def test_clustering_leaves_few_values(extra: tuple[Any, Any]) -> None:
    result = run_tfmot(
        small_net(), method="cluster", images=[images()], precision="float32", training=training(5), clusters=4
    )
    assert len(np.unique(result.model.get_layer("stem_conv").get_weights()[0])) == 4
    assert len(np.unique(result.model.get_layer("mix_depthwise").get_weights()[0])) > 4
    normalized = result.source.normalize(images())
    expected = np.asarray(result.model(normalized))
    np.testing.assert_allclose(run_file(result.content, normalized), expected, atol=1e-4)


def test_plain_ptq_is_near_the_float_model(extra: tuple[Any, Any]) -> None:
    model, shown = small_net(), images()
    result = run_tfmot(model, method="ptq", images=[shown])
    normalized = result.source.normalize(shown)
    expected = keras.ops.convert_to_numpy(model(shown, training=False))
    assert np.abs(run_file(result.content, normalized) - expected).max() < 0.05 * np.ptp(expected)
    assert int8_kernels(result.content) == result.size.weights
    assert int8_kernels(float_bytes(result.model)) == 0
    assert result.trained is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "qta"}, "Did you mean 'qat'"),
        ({"method": "ptq", "precision": "int4"}, "precision='int4' is not known"),
        ({"method": "qat"}, "method='qat' needs training"),
        ({"method": "qat", "precision": "float32"}, "does not fit method='qat'"),
        ({"method": "prune", "training": training(3)}, "method='prune' needs sparsity"),
        ({"method": "ptq", "clusters": 4}, "method='ptq' takes no clusters"),
        ({"method": "prune", "training": training(3), "sparsity": 1.0}, "sparsity=1.0"),
        ({"method": "prune", "training": training(2), "sparsity": 0.5}, "at least 3"),
        ({"method": "cluster", "training": training(3), "clusters": 1}, "clusters=1"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], said: str, extra: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match=said):
        run_tfmot(small_net(), images=[images()], **arguments)


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match=r"this process runs on jax; .*KERAS_BACKEND=tensorflow"):
        run_tfmot(small_net(), method="ptq", images=[images()])


def test_images_are_needed(extra: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="got no image"):
        run_tfmot(small_net(), method="ptq", images=[])
    with pytest.raises(UsageError, match="got no image"):
        ptq_bytes(None, [])


def test_a_broken_run_is_no_result(extra: tuple[Any, Any]) -> None:
    twin = rebuild_in_tf_keras(small_net())
    with pytest.raises(MobileSegError, match="the loss is not a number any more"):
        train(
            twin, batches(), Recipe(steps=3), loss=lambda labels, logits: 0.0 * SegmentationLoss()(labels, logits) / 0.0
        )
    with pytest.raises(ArtifactError, match="no TFLite model"):
        file_size(b"not a model at all")
    with pytest.raises(ArtifactError, match="conversion of the tf_keras model failed"):
        export(extra[0].Model())
