"""Ranges from images, by numbers worked out by hand or by trying all ranges."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from unit.quantization.nets import images, net

from mobile_seg.errors import UsageError
from mobile_seg.quantization.calibrate import METHODS, calibrate
from mobile_seg.quantization.fake_quant import FakeQuant
from mobile_seg.quantization.observers import BINS, Histogram, LeastError, Percentile
from mobile_seg.quantization.rewrite import insert_quantizers
from mobile_seg.quantization.scheme import find


def _doubler() -> keras.Model:
    """Bytes to values -1 .. 0.99, times 2 in one channel, all in quantizers."""
    image = keras.Input((2, 2, 3), name="image")
    x = layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(image)
    convolution = layers.Conv2D(1, 1, use_bias=False, name="double")
    model = keras.Model(image, convolution(x), name="doubler")
    convolution.set_weights([np.array([2.0, 0.0, 0.0], np.float32).reshape(1, 1, 3, 1)])
    return insert_quantizers(model)


def _batch(*levels: int) -> np.ndarray:
    """Flat images: level 128 is 0, each 64 more is one more at the doubler's output."""
    return np.stack([np.full((2, 2, 3), level, np.float32) for level in levels])


BATCHES = [_batch(64, 160), _batch(0, 224), _batch(128)]
# Outputs: (-1.0, 0.5), (-2.0, 1.5), (0.0, 0.0).


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("minmax", (-2.0, 1.5)),
        ("average", (-1.0, 2.0 / 3.0)),
        ("moving-average", (-(0.9 * 1.0 + 0.1 * 2.0) * 0.9, (0.9 * 0.5 + 0.1 * 1.5) * 0.9)),
        ("percentile", (-2.0, 1.5)),
    ],
)
def test_the_range_is_that_of_the_batches(method: str, expected: tuple[float, float]) -> None:
    model = _doubler()
    assert calibrate(model, iter(BATCHES), method=method) == 5
    # A percentile is known to a bin, which is less than 1 / 4000 of the largest value.
    tolerance = 2.0 / 4000 if method == "percentile" else 1e-6
    assert model.get_layer("double_quant").get_range() == pytest.approx(expected, abs=tolerance)


def test_a_percentile_counts_over_all_batches() -> None:
    """20 values, -2 four times, 1.5 four times: 60% are at or below 0, 85% below or in the highest."""
    model = _doubler()
    calibrate(model, BATCHES, method="percentile", percentile=70)
    low, high = model.get_layer("double_quant").get_range()
    assert low == pytest.approx(-1.0, abs=1e-3)
    assert high == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_range_behind_a_relu_starts_at_zero(method: str, scheme: str) -> None:
    model = insert_quantizers(
        net(lambda x: layers.Conv2D(3, 1, name="last")(layers.ReLU(name="act")(layers.Conv2D(4, 3, name="first")(x)))),
        scheme=find(scheme),
    )
    calibrate(model, [images().astype(np.float32)], method=method)
    low, high = model.get_layer("act_quant").get_range()
    assert low == (0.0 if scheme == "int8" else -high)
    assert high > 0.1
    assert model.get_layer("last_quant").get_range()[0] < 0


def test_an_outlier_widens_minmax_and_not_the_percentile() -> None:
    model = _doubler()
    flood = np.random.default_rng(0).uniform(96, 160, (200, 2, 2, 3)).astype(np.float32)
    flood = np.repeat(np.repeat(flood, 4, 1), 4, 2)[:, :2, :2]
    batches = [np.tile(flood, (20, 1, 1, 1)), _batch(255)]
    calibrate(model, batches, method="minmax")
    assert model.get_layer("double_quant").get_range()[1] == pytest.approx(2 * 127 / 128)
    calibrate(model, batches, method="percentile", percentile=99.9)
    assert model.get_layer("double_quant").get_range() == pytest.approx((-0.5, 0.5), abs=0.01)


def _shown(observer: Histogram, *batches: np.ndarray) -> Histogram:
    for batch in batches:
        observer(batch)
    return observer


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), min_size=1, max_size=5))
def test_a_growing_histogram_counts_as_one_of_the_final_width(batches: list[list[float]]) -> None:
    grown = _shown(Histogram(), *(np.array(batch, np.float32) for batch in batches))
    everything = np.concatenate([np.array(batch, np.float32) for batch in batches])
    edges = np.arange(-BINS, BINS + 1) * grown.width
    np.testing.assert_array_equal(grown.counts, np.histogram(everything.astype(np.float64), edges)[0])
    largest = max(np.abs(everything).max(), 1e-6)
    assert largest / BINS < grown.width <= 2 * largest / (BINS - 1)


def test_percentiles_are_those_of_all_values() -> None:
    rng = np.random.default_rng(1)
    batches = [rng.normal(0, scale, 20_000).astype(np.float32) for scale in (0.1, 3.0, 1.0)]
    low, high = _shown(Percentile(99.9), *batches).range()
    everything = np.concatenate(batches)
    # A bin out there holds a value or two of the 60.
    assert (everything < low).sum() == pytest.approx(60, abs=2)
    assert (everything > high).sum() == pytest.approx(60, abs=2)


def _squared_error(x: np.ndarray, low: float, high: float, bits: int = 8) -> float:
    quantizer = FakeQuant(bits=bits)
    quantizer.build(x.shape)
    quantizer.set_range(low, high)
    return float(np.mean((np.asarray(quantizer(x), np.float64) - x) ** 2))


def test_mse_clips_a_heavy_tail_where_that_costs_least() -> None:
    x = np.random.default_rng(2).standard_t(3, 100_000).astype(np.float32)
    low, high = _shown(LeastError(8), x[:50_000], x[50_000:]).range()
    found, widest = _squared_error(x, low, high), _squared_error(x, float(x.min()), float(x.max()))
    assert found < 0.85 * widest
    shares = 2.0 ** (-np.arange(0, 6, 0.25))
    best = min(_squared_error(x, a * float(x.min()), b * float(x.max())) for a in shares for b in shares)
    assert found <= 1.02 * best


def test_mse_keeps_all_of_a_tensor_without_tails() -> None:
    x = np.random.default_rng(3).uniform(0, 6, 10_000).astype(np.float32)
    low, high = _shown(LeastError(8), x).range()
    assert low == 0.0
    assert high == pytest.approx(x.max(), rel=0.001)


def test_mse_counts_with_the_bits_of_the_quantizer() -> None:
    """Fewer steps make it worth to clip more; 16 bits have so many that nothing is, and are symmetric."""
    x = np.random.default_rng(4).laplace(0.5, 1.0, 100_000).astype(np.float32)
    ranges = {bits: _shown(LeastError(bits), x).range() for bits in (4, 8, 16)}
    assert ranges[4][1] < 0.7 * ranges[8][1]
    assert ranges[16] == pytest.approx((-np.abs(x).max(), np.abs(x).max()))
    assert _squared_error(x, *ranges[4], bits=4) < 0.5 * _squared_error(x, float(x.min()), float(x.max()), bits=4)


def test_the_inputs_range_stays_that_of_its_bytes() -> None:
    model = _doubler()
    calibrate(model, BATCHES)
    assert model.get_layer("normalize_quant").get_range() == pytest.approx((-1.0, 127 / 128))


def test_activations_quantize_again_afterwards() -> None:
    model = _doubler()
    calibrate(model, BATCHES, method="minmax")
    assert all(layer.observer is None for layer in model.layers if isinstance(layer, FakeQuant))
    assert float(np.asarray(model(_batch(255), training=False)).max()) == pytest.approx(1.5, abs=0.02)


def test_what_cannot_be_calibrated_is_refused_and_leaves_the_model_usable() -> None:
    model = _doubler()
    with pytest.raises(UsageError, match="no image"):
        calibrate(model, [])
    with pytest.raises(UsageError, match=r"method='median'.*average, minmax"):
        calibrate(model, BATCHES, method="median")
    with pytest.raises(UsageError, match=r"percentile=100\.5 is out of range"):
        calibrate(model, BATCHES, method="percentile", percentile=100.5)
    with pytest.raises(UsageError, match="insert_quantizers first"):
        calibrate(keras.Sequential([keras.Input((2, 2, 3)), layers.Conv2D(1, 1)]), BATCHES)
    assert model.get_layer("double_quant").observer is None


@pytest.mark.parametrize("method", METHODS)
def test_broken_weights_are_refused_and_no_range_changes(method: str) -> None:
    model = _doubler()
    model.get_layer("double").kernel.assign(np.full((1, 1, 3, 1), np.nan, np.float32))
    with pytest.raises(UsageError, match="double_quant is not finite"):
        calibrate(model, BATCHES, method=method)
    assert model.get_layer("double_quant").get_range() == (0.0, 1.0)
