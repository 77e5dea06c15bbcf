"""Explanations: class activation maps of a finding's own score, and the transformer's attention.

The target of a map is one number for each slice: the sum of the anomaly logits of the voxels of a
finding. With their mean, a slice that shows little of it would outshine all others.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..core.progress import FractionCallback, ignore_fraction
from ..core.settings import ExplanationMethod as Method
from ..core.settings import ExplanationStage as Stage
from .engine import SliceEngine
from .inference import BATCH, brain_window, pad_slices, upsample

Array = NDArray[np.float32]

BRIGHTEST = 0.999
"""Quantile of the positive values of a map that becomes 1."""


def class_activation_map(
    engine: SliceEngine,
    images: Array,
    present: Array,
    target: NDArray,
    *,
    axis: int = 0,
    stage: Stage = Stage.CONVOLUTION,
    method: Method = Method.HIRESCAM,
    every: int = 1,
    batch: int = BATCH,
    progress: FractionCallback = ignore_fraction,
) -> Array:
    """Return the class activation map of the anomaly logit of some voxels.

    Args:
        engine: runs the network.
        images: (m, k, j, i) normalised, all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        target: (k, j, i) bool or weights, e.g. a finding; slices without it are left out.
        axis: across which slices are taken.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        every: one of so many slices is computed; those between are the mean of their neighbours.
        batch: slices at once.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32, 0 to 1, 1 being the strongest thousandth of what supports the target.
    """
    volume = np.moveaxis(images, axis + 1, 0)
    weight = np.moveaxis(np.asarray(target, np.float32), axis, 0)[:, None]
    out: Array = np.zeros(images.shape[1:], np.float32)
    across = np.moveaxis(out, axis, 0)
    wanted = np.flatnonzero(weight.any((1, 2, 3)))
    chosen = _thinned(wanted, every)
    for first in range(0, len(chosen), batch):
        some = chosen[first : first + batch]
        rows, columns = brain_window(volume[some], engine.multiple)
        cropped = [a[some][:, :, rows, columns] for a in (volume, weight)]
        slices, about = (pad_slices(a, engine.multiple) for a in cropped)
        heat = weigh_features(*engine.explain(slices, present, about, stage), method)
        heat = heat * about.sum((1, 2, 3), keepdims=True)  # from the mean to the sum
        factor = slices.shape[-1] // heat.shape[-1]
        across[some, rows, columns] = upsample(heat, factor, cropped[0].shape[-2:])[:, 0]
        progress(min(1.0, (first + batch) / len(chosen)))
    _fill_between(across, wanted, chosen)
    return _scaled(out)


def _scaled(heat: Array) -> Array:
    """Return a map whose brightest voxels are 1: single ones would leave the rest dark."""
    support = heat[heat > 0]
    if not support.size:
        return heat
    brightest = np.quantile(support, BRIGHTEST)
    return np.minimum(heat / brightest, 1).astype(np.float32)


def _thinned(wanted: NDArray[np.intp], every: int) -> NDArray[np.intp]:
    """Return one of so many of some rising numbers, and the ends of each run of neighbours."""
    before, after = wanted - 1, wanted + 1
    is_end = ~(np.isin(before, wanted) & np.isin(after, wanted))
    kept: NDArray[np.intp] = wanted[is_end | (wanted % every == 0)]
    return kept


def _fill_between(across: Array, wanted: NDArray[np.intp], chosen: NDArray[np.intp]) -> None:
    """Interpolate the slices that were left out between those that were not."""
    for at in np.setdiff1d(wanted, chosen):
        place = int(np.searchsorted(chosen, at))
        low, high = int(chosen[place - 1]), int(chosen[place])
        share = (at - low) / (high - low)
        across[at] = (1 - share) * across[low] + share * across[high]


def weigh_features(features: Array, gradient: Array, method: Method) -> Array:
    """Return a map of slices from the features of a stage, not normalised.

    Args:
        features: (b, c, h, w).
        gradient: of the target by the features, (b, c, h, w).
        method: how the gradient becomes weights.

    Returns:
        (b, 1, h, w), 0 where nothing supports the target.
    """
    weights: dict[Method, Callable[[], Array]] = {
        Method.GRADCAM: lambda: gradient.mean((2, 3), keepdims=True),
        Method.HIRESCAM: lambda: gradient,
    }
    heat: Array = np.maximum((weights[method]() * features).sum(1, keepdims=True), 0)
    return heat


def attention_map(engine: SliceEngine, images: Array, present: Array, target: NDArray) -> Array:
    """Return which patches of one slice the patches of a target attend to.

    Args:
        engine: runs the network.
        images: (m, j, i) one slice, all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        target: (j, i) bool or weights.

    Returns:
        (j, i) float32, mean over heads and patches of the target: 1 is the attention to a patch if
        all patches were attended to alike; 0 beside the part of the slice that shows the brain.
    """
    patch = engine.multiple
    window = brain_window(images[None], patch)
    cropped = images[:, window[0], window[1]]
    slices = pad_slices(cropped[None], patch)
    weight = pad_slices(np.asarray(target, np.float32)[window][None, None], patch)[0, 0]
    rows, columns = (n // patch for n in weight.shape)
    share = weight.reshape(rows, patch, columns, patch).mean((1, 3)).ravel()
    attended = (share / max(float(share.sum()), 1e-6)) @ engine.attention(slices, present)[0]
    times_alike = (attended * rows * columns).reshape(1, 1, rows, columns)
    out: Array = np.zeros(images.shape[1:], np.float32)
    out[window] = upsample(times_alike, patch, cropped.shape[-2:])[0, 0]
    return out
