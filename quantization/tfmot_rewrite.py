"""What TF-MOT does to a `tf_keras` model: quantizers, pruning and clustering wrappers, and their removal.

Each function leaves the model it is given alone and returns another.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from mobile_seg.errors import UnsupportedLayerError, UsageError
from mobile_seg.quantization.tf_keras_twin import load_extra


def quantize_aware(model: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a `tf_keras` model prepared by TF-MOT's default 8-bit scheme, and the layers it leaves in float.

    Every layer that the scheme knows is annotated. It knows BatchNormalization only behind a convolution or a dense
    layer of its own, with no activation between them; such layers, and those that it does not know, stay as they
    are, which TF-MOT's guide calls quantizing some layers. Ranges start at -6..6 and follow training with a decay
    of 0.999: some thousand steps until they fit.

    Raises:
        UnsupportedLayerError: with TF-MOT's reason, if it takes no layer or refuses the whole model.
        MissingExtraError: if the extra is not installed.
    """
    tf_keras, tfmot = load_extra()
    api = tfmot.quantization.keras
    registry = api.default_8bit.Default8BitQuantizeScheme().get_quantize_registry()
    real = [layer for layer in model.layers if type(layer) is not tf_keras.layers.InputLayer]
    left = {layer.name for layer in real if not (registry.supports(layer) or _folds(tf_keras, layer))}

    def annotate(layer: Any) -> Any:
        return layer if layer.name in left else api.quantize_annotate_layer(layer)

    try:
        quantized = api.quantize_apply(_wrapped(tf_keras, model, annotate))
    except (RuntimeError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnsupportedLayerError(
            f"TF-MOT refuses {model.name}: {reason.rstrip('.')}; quantize it with the built-in engine instead"
        ) from error
    return quantized, tuple(layer.name for layer in real if layer.name in left)


def prune(model: Any, *, sparsity: float, steps: int) -> Any:
    """Return a copy whose kernels `train` will prune by magnitude, up to `sparsity` zeros in each.

    The share follows a cubic from 0 over the first two thirds of `steps` (TF-MOT's PolynomialDecay,
    arXiv:1710.01878), at a hundred steps at most; the rest recovers. Depthwise kernels are left alone, as TF-MOT
    does.

    Raises:
        UsageError: if `sparsity` is not between 0 and 1, or for fewer than 3 steps, too few for any schedule.
        MissingExtraError: if the extra is not installed.
    """
    if not 0.0 < sparsity < 1.0:
        raise UsageError(f"sparsity={sparsity}: give a share between 0 and 1, such as 0.5")
    if steps < 3:
        raise UsageError(f"pruning in {steps} steps: give at least 3")
    tf_keras, tfmot = load_extra()
    # The mask is taken at multiples of `every` after step 0, which is never counted; the last one reaches the goal.
    every = max(1, steps * 2 // 3 // 100)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=0,
        end_step=steps * 2 // 3 // every * every,
        frequency=every,
    )

    def wrap(layer: Any) -> Any:
        if not _has_dense_kernel(tf_keras, layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    return _wrapped(tf_keras, model, wrap)


def cluster(model: Any, *, clusters: int) -> Any:
    """Return a copy whose kernels hold at most `clusters` different values each, which `train` goes on with.

    Kernels with no more values than that, and depthwise ones, are left alone, as TF-MOT does.

    Raises:
        UsageError: for fewer than 2 clusters.
        MissingExtraError: if the extra is not installed.
    """
    if clusters < 2:
        raise UsageError(f"clusters={clusters}: give at least 2")
    tf_keras, tfmot = load_extra()

    def wrap(layer: Any) -> Any:
        if not _has_dense_kernel(tf_keras, layer) or np.size(layer.get_weights()[0]) <= clusters:
            return layer
        return tfmot.clustering.keras.cluster_weights(layer, number_of_clusters=clusters)

    return _wrapped(tf_keras, model, wrap)


def strip(model: Any) -> Any:
    """Return a plain model from one that was pruned or clustered, with the weights as trained.

    Raises:
        MissingExtraError: if the extra is not installed.
    """
    _, tfmot = load_extra()
    return tfmot.clustering.keras.strip_clustering(tfmot.sparsity.keras.strip_pruning(model))


def _wrapped(tf_keras: Any, model: Any, wrap: Callable[[Any], Any]) -> Any:
    """A copy with `wrap` around each layer; the wrappers hold the layers themselves, hence the copy first."""
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return tf_keras.models.clone_model(copy, clone_function=wrap)


def _folds(tf_keras: Any, layer: Any) -> bool:
    """Whether TF-MOT recognises this normalization behind its convolution (its Conv2DBatchNormQuantize)."""
    if type(layer) is not tf_keras.layers.BatchNormalization:
        return False
    before = layer.inbound_nodes[0].inbound_layers
    kinds = (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D, tf_keras.layers.Dense)
    if type(before) not in kinds or len(before.outbound_nodes) != 1:
        return False
    return before.activation is tf_keras.activations.linear


def _has_dense_kernel(tf_keras: Any, layer: Any) -> bool:
    return type(layer) in (tf_keras.layers.Conv2D, tf_keras.layers.Conv2DTranspose, tf_keras.layers.Dense)
