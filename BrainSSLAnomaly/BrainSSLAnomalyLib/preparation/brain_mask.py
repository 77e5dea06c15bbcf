"""Which voxels are inside the skull."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.study import Volume
from .canonical import largest_piece

STRIPPED_LIMIT_ML = 2300.0
"""A head is larger than this, a brain smaller."""


def stripped_mask(scan: Volume) -> NDArray[np.bool_] | None:
    """The brain of a scan whose skull has been removed, or None for a whole head.

    A stripped scan has one exact value (mostly 0) all around a foreground no larger than a brain can be.

    Args:
        scan: as it was read, not interpolated.
    """
    array = scan.array
    border = np.concatenate([np.take(array, n, axis).ravel() for axis in range(3) for n in (0, -1)])
    values, counts = np.unique(border, return_counts=True)
    background = values[counts.argmax()]
    brain = array != background
    if (
        counts.max() < 0.6 * border.size
        or not 300 < brain.sum() * scan.voxel_ml < STRIPPED_LIMIT_ML
    ):
        return None
    solid = close_and_fill(brain, scan.spacing, 3.0)
    return solid if solid.sum() * scan.voxel_ml < STRIPPED_LIMIT_ML else None


def skull_mask(inside: Volume) -> NDArray[np.bool_]:
    """A brain from the probability of being inside the skull: smooth, in one piece, without holes.

    Args:
        inside: probability 0–1 on a coarse canonical grid.
    """
    image = sitk.GetImageFromArray(np.asarray(inside.array, np.float32))
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, 0.8))
    mask = smooth > 0.5
    radius = max(1, round(4.0 / inside.spacing[0]))
    opened = _morph(sitk.BinaryErode, mask, radius)
    core = largest_piece(opened)
    grown = _morph(sitk.BinaryDilate, core, radius + 1) & mask
    return close_and_fill(grown, inside.spacing, 4.0)


def close_and_fill(
    mask: NDArray[np.bool_], spacing: tuple[float, float, float], radius_mm: float
) -> NDArray[np.bool_]:
    """Closing by a ball of ``radius_mm``, then holes filled, in three dimensions and in each axial slice."""
    size = [max(0, round(radius_mm / s)) for s in reversed(spacing)]
    padded = np.pad(mask, [(n, n) for n in reversed(size)])
    image = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(padded.astype(np.uint8)), size)
    image = sitk.BinaryFillhole(image)
    inner = tuple(slice(n, n + s) for n, s in zip(reversed(size), mask.shape, strict=True))
    return sitk.GetArrayFromImage(image)[inner].astype(bool)


def _morph(
    operation: Callable[..., sitk.Image], mask: NDArray[np.bool_], radius: int
) -> NDArray[np.bool_]:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return sitk.GetArrayFromImage(operation(image, [radius] * 3)).astype(bool)
