"""Brain masks: of scans that come without skull, and from the probability of being intracranial."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.study import Volume
from .canonical import largest_component

STRIPPED_LIMIT_ML = 2300.0
"""A head is larger than this, a brain smaller."""


def find_stripped_brain(scan: Volume) -> NDArray[np.bool_] | None:
    """Return the brain of a scan whose skull has been removed, or None for a whole head.

    A stripped scan has one exact value (mostly 0) all around a foreground no larger than a brain.

    Args:
        scan: as it was read, not interpolated.
    """
    array = scan.array
    border = np.concatenate([np.take(array, n, axis).ravel() for axis in range(3) for n in (0, -1)])
    values, counts = np.unique(border, return_counts=True)
    background = values[counts.argmax()]
    brain = array != background
    is_uniform = counts.max() >= 0.6 * border.size
    if not is_uniform or not 300 < brain.sum() * scan.voxel_ml < STRIPPED_LIMIT_ML:
        return None
    solid = close_and_fill(brain, scan.spacing, radius_mm=3.0)
    return solid if solid.sum() * scan.voxel_ml < STRIPPED_LIMIT_ML else None


def mask_from_probability(intracranial: Volume) -> NDArray[np.bool_]:
    """Return a brain mask that is smooth, in one component and without holes.

    Args:
        intracranial: probability 0–1 on a coarse canonical grid.
    """
    image = sitk.GetImageFromArray(np.asarray(intracranial.array, np.float32))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 0.8))
    mask = smooth > 0.5
    radius = max(1, round(4.0 / intracranial.spacing[0]))
    core = largest_component(_apply(sitk.BinaryErode, mask, radius))
    grown = _apply(sitk.BinaryDilate, core, radius + 1) & mask
    return close_and_fill(grown, intracranial.spacing, radius_mm=4.0)


def close_and_fill(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float], radius_mm: float
) -> NDArray[np.bool_]:
    """Return the mask closed by a ball, with holes filled in three dimensions.

    Args:
        mask: (k, j, i) bool.
        spacing: along (k, j, i), in mm.
        radius_mm: of the ball.
    """
    size = [max(0, round(radius_mm / s)) for s in reversed(spacing)]
    padded = np.pad(mask, [(n, n) for n in reversed(size)])
    image = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(padded.astype(np.uint8)), size)
    filled = sitk.GetArrayFromImage(sitk.BinaryFillhole(image)).astype(bool)
    inner = tuple(slice(n, n + s) for n, s in zip(reversed(size), mask.shape, strict=True))
    closed: NDArray[np.bool_] = filled[inner]
    return closed


def _apply(
    operation: Callable[..., sitk.Image], mask: NDArray[np.bool_], radius: int
) -> NDArray[np.bool_]:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    result: NDArray = sitk.GetArrayFromImage(operation(image, [radius] * 3))
    return result.astype(bool)
