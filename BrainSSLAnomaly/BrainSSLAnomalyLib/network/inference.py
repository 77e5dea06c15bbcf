"""Predictions of a 2-D network for a volume: slices across each sharp axis, averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.progress import FractionCallback, ignore_fraction
from .engine import SliceEngine, SliceOutput

Array = NDArray[np.float32]

PatchDistance = Callable[[Array], Array]
"""Maps embeddings of patches (b, e, h, w), unit length, to their distance from healthy ones
(b, 1, h, w)."""

BATCH = 4
"""Slices at once: more need memory and save no time on a processor."""


@dataclass(frozen=True)
class Prediction:
    """Hold the prediction of a network for a volume.

    Its m modalities are those that are present, in the order of `CHANNELS`.

    Attributes:
        reconstruction: (m, k, j, i) float32.
        anomaly: (k, j, i) float32, logit.
        spread: (k, j, i) float32, SD of the logit over axes and augmentations; 0 where there is
            one.
        distances: (k, j, i) float32 by name.
        embedding: (e,) float32 of the whole scan, unit length.
    """

    reconstruction: Array
    anomaly: Array
    spread: Array
    distances: Mapping[str, Array]
    embedding: Array


Window = tuple[slice, slice, slice]
"""Some slices, and their rows and columns."""

MARGIN = 2
"""Voxels around the brain that belong to a window."""


class Augmentation(NamedTuple):
    """Describe a test-time augmentation.

    Attributes:
        apply: changes slices (b, m, j, i).
        invert: undoes the change on a map (b, 1, j, i).
        axes: of the volume, for slices across which it makes sense.
    """

    apply: Callable[[Array], Array]
    invert: Callable[[Array], Array]
    axes: tuple[int, ...] = (0, 1, 2)


IDENTITY = Augmentation(lambda x: x, lambda x: x)
MIRROR = Augmentation(lambda x: x[..., ::-1], lambda x: x[..., ::-1], (0, 1))
"""Left and right exchanged: the last axis of slices across k and j."""
GAMMA = Augmentation(lambda x: 1.1 * x + 0.05 * (x != 0) * (np.square(x) - 1), lambda x: x)
"""A larger gamma."""

TEST_TIME = (IDENTITY, MIRROR, GAMMA)


def predict_volume(
    engine: SliceEngine,
    images: Array,
    present: Array,
    axes: Sequence[int],
    *,
    augmentations: Sequence[Augmentation] = (IDENTITY,),
    distances: Mapping[str, PatchDistance] | None = None,
    batch: int = BATCH,
    progress: FractionCallback = ignore_fraction,
) -> Prediction:
    """Predict every slice across each of some axes, and average.

    Slices are cropped to the brain that they show, which changes what the transformer attends to
    beside it, costs a third less, and finds implanted lesions as well
    (``docs/experiments/2026-11-28-speed.md``). Outside of that the prediction is 0.

    Args:
        engine: runs the network.
        images: (m, k, j, i) normalised, canonical axes, 0 outside the brain; all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        axes: 0 for slices across k, 1 across j, 2 across i.
        augmentations: the first is the identity, from which the reconstruction comes.
        distances: by name, of the patches of the identity.
        batch: slices at once.
        progress: receives the fraction done; may raise to stop.
    """
    runs = [(axis, a) for axis in axes for a in augmentations if axis in a.axes]
    sums = _Sums(images.shape[1:], np.flatnonzero(present), distances or {}, engine.multiple)
    for number, (axis, augmentation) in enumerate(runs):
        volume = np.moveaxis(images, axis + 1, 0)
        for at in _batches(len(volume), batch):
            rows, columns = brain_window(volume[at], engine.multiple)
            window = (at, rows, columns)
            slices = augmentation.apply(volume[at][:, :, rows, columns])
            out = predict_padded(engine, slices, present)
            sums.add_logit(axis, window, augmentation.invert(out.anomaly)[:, 0])
            if augmentation is augmentations[0]:
                sums.add_maps(axis, window, out)
            progress((number + at.stop / len(volume)) / len(runs))
    return sums.prediction(runs=len(runs), plain_runs=len(axes))


def _batches(count: int, size: int) -> Iterator[slice]:
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


class _Sums:
    """Add up maps of slices across several axes, in place."""

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: NDArray[np.intp],
        distances: Mapping[str, PatchDistance],
        multiple: int,
    ) -> None:
        self._channels, self._measures, self._multiple = channels, distances, multiple
        self._logit = np.zeros(shape, np.float32)
        self._squares = np.zeros(shape, np.float32)
        self._reconstruction = np.zeros((len(channels), *shape), np.float32)
        self._distances = {name: np.zeros(shape, np.float32) for name in distances}
        self._embeddings: list[Array] = []

    def add_logit(self, axis: int, at: Window, logit: Array) -> None:
        """Add logits (b, j, i) of slices across an axis."""
        np.moveaxis(self._logit, axis, 0)[at] += logit
        np.moveaxis(self._squares, axis, 0)[at] += np.square(logit)

    def add_maps(self, axis: int, at: Window, out: SliceOutput) -> None:
        """Add reconstruction, distances and embedding of slices across an axis."""
        for n, channel in enumerate(self._channels):
            across = np.moveaxis(self._reconstruction[n], axis, 0)
            across[at] += out.reconstruction[:, channel]
        for name, measure in self._measures.items():
            size = out.anomaly.shape[-2:]
            fine = upsample(measure(out.patches), self._multiple, size)
            np.moveaxis(self._distances[name], axis, 0)[at] += fine[:, 0]
        self._embeddings.append(out.scan)

    def prediction(self, *, runs: int, plain_runs: int) -> Prediction:
        """Return the means; the sums are used up."""
        self._logit /= runs
        variance = self._squares / runs - np.square(self._logit)
        self._reconstruction /= plain_runs
        for sums in self._distances.values():
            sums /= plain_runs
        mean = np.concatenate(self._embeddings).mean(0)
        return Prediction(
            reconstruction=self._reconstruction,
            anomaly=self._logit,
            spread=np.sqrt(np.maximum(variance, 0)),
            distances=self._distances,
            embedding=mean / np.linalg.norm(mean),
        )


def brain_window(slices: Array, multiple: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold all that is not 0, in whole patches where they fit.

    Args:
        slices: (b, m, j, i), 0 outside the brain.
        multiple: edge of a patch, in voxels.
    """
    shown = np.asarray(slices.any((0, 1)))
    rows, columns = (_extent(np.asarray(shown.any(axis)), multiple) for axis in (1, 0))
    return rows, columns


def _extent(shown: NDArray[np.bool_], multiple: int) -> slice:
    where = np.flatnonzero(shown)
    if not where.size:
        return slice(0, min(multiple, len(shown)))
    first, last = int(where[0]) - MARGIN, int(where[-1]) + 1 + MARGIN
    size = min(len(shown), -(-(last - first) // multiple) * multiple)
    start = min(max(0, (first + last - size) // 2), len(shown) - size)
    return slice(start, start + size)


def predict_padded(engine: SliceEngine, slices: Array, present: Array) -> SliceOutput:
    """Predict slices of any size (b, m, j, i), padded to what the network needs and cropped."""
    j, i = slices.shape[-2:]
    out = engine.predict(pad_slices(slices, engine.multiple), present)
    cropped = (out.reconstruction[..., :j, :i], out.anomaly[..., :j, :i])
    return SliceOutput(*cropped, out.patches, out.scan)


def pad_slices(slices: Array, multiple: int) -> Array:
    """Return slices (b, c, j, i) with zeros after their ends, j and i multiples of a number."""
    missing = [(0, -n % multiple) for n in slices.shape[-2:]]
    padded: Array = np.pad(slices, [(0, 0), (0, 0), *missing])
    return padded


def upsample(coarse: Array, factor: int, size: Sequence[int]) -> Array:
    """Return maps (b, c, h, w) interpolated to voxels, (b, c, j, i).

    Args:
        coarse: one value a patch.
        factor: edge of a patch, in voxels.
        size: j and i, which may end within the last patch.
    """
    rows, columns = (
        _interpolation(n, factor)[:end] for n, end in zip(coarse.shape[-2:], size, strict=True)
    )
    fine: Array = rows @ coarse @ columns.T
    return fine


@lru_cache(maxsize=32)
def _interpolation(count: int, factor: int) -> Array:
    """Return the matrix (count × factor, count) of linear interpolation between patch centres."""
    unit = np.eye(count, dtype=np.float32)
    matrix: Array = ndimage.zoom(unit, (factor, 1), order=1, grid_mode=True, mode="nearest")
    return matrix
