"""Brain masks: of scans that come without skull, and from the probability of being intracranial."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.grid import bounding_box, embed
from ..core.study import Volume
from .canonical import largest_component

STRIPPED_LIMIT_ML = 2300.0
"""A head is larger than this, a brain smaller."""

MIN_SHARED = 0.9
"""Of the larger of two stripped brains, which the other covers if both are in the same place."""


def find_stripped_brain(scan: Volume) -> NDArray[np.bool_] | None:
    """Return the brain of a scan whose skull has been removed, or None for a whole head.

    A stripped scan has one exact value (mostly 0) all around a foreground no larger than a brain.

    Args:
        scan: as it was read, not interpolated.
    """
    brain = _stripped_foreground(scan)
    if brain is None:
        return None
    solid = close_and_fill(brain, scan.spacing, radius_mm=3.0)
    return solid if solid.sum() * scan.voxel_ml < STRIPPED_LIMIT_ML else None


def shares_stripped_brain(scan: Volume, brain: NDArray[np.bool_]) -> bool:
    """Return whether a scan has been stripped to nearly the same brain as another on its grid.

    Args:
        scan: as it was read, not interpolated.
        brain: (k, j, i) bool, that of the other.
    """
    foreground = _stripped_foreground(scan)
    if foreground is None:
        return False
    both = int((foreground & brain).sum())
    return both >= MIN_SHARED * max(int(foreground.sum()), int(brain.sum()))


def _stripped_foreground(scan: Volume) -> NDArray[np.bool_] | None:
    """Return what differs from a uniform border, or None where that cannot be a stripped brain."""
    array = scan.array
    border = np.concatenate([np.take(array, n, axis).ravel() for axis in range(3) for n in (0, -1)])
    values, counts = np.unique(border, return_counts=True)
    if counts.max() < 0.6 * border.size:
        return None
    foreground: NDArray[np.bool_] = array != values[counts.argmax()]
    is_brain = 300 < np.count_nonzero(foreground) * scan.voxel_ml < STRIPPED_LIMIT_ML
    return foreground if is_brain else None


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
    if not mask.any():
        return mask.astype(bool)
    k, j, i = (max(0, round(radius_mm / s)) for s in spacing)
    box = bounding_box(mask)
    padded = np.pad(mask[box], [(k, k), (j, j), (i, i)]).astype(np.uint8)
    closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(padded), [i, j, k])
    filled = sitk.GetArrayFromImage(sitk.BinaryFillhole(closed)).astype(bool)
    inner = tuple(
        slice(n, n + part.stop - part.start) for n, part in zip((k, j, i), box, strict=True)
    )
    out: NDArray[np.bool_] = embed(filled[inner], box, mask.shape)
    return out


def _apply(
    operation: Callable[..., sitk.Image], mask: NDArray[np.bool_], radius: int
) -> NDArray[np.bool_]:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    result: NDArray = sitk.GetArrayFromImage(operation(image, [radius] * 3))
    return result.astype(bool)
