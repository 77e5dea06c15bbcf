"""Small canonical copies of a volume, on which everything slow is estimated.

A copy has axes along right, anterior and superior and cubic voxels, whatever the scan's own axes, so the 48 orders
and flips of one scan, and sheared grids, all give the same estimates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.resampling import resample
from ..core.study import Volume


def coarse_copy(volume: Volume, spacing: float, fill: float | None = None) -> Volume:
    """The volume at ``spacing`` mm, smoothed first where its own voxels are finer.

    Args:
        volume: any grid.
        spacing: edge of the cubic voxels, in mm.
        fill: value outside the volume; its minimum by default.
    """
    sigma = [0.42 * max(0.0, spacing / own - 1) for own in volume.spacing]
    array = np.asarray(volume.array, np.float32)
    if max(sigma) > 0.1:
        array = ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=2.5)
    shape, affine = canonical_grid(volume, spacing)
    low = float(array.min()) if fill is None else fill
    return Volume(resample(Volume(array, volume.affine), shape, affine, fill=low), affine)


def canonical_grid(
    volume: Volume, spacing: float
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Shape (k, j, i) and RAS affine of an upright grid of cubic voxels that holds the whole volume.

    The grid is placed on multiples of ``spacing``, so that it depends on the patient and not on the order of axes.
    """
    corners = np.array([[x, y, z, 1.0] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    corners[:, :3] *= np.array(volume.array.shape[::-1]) - 1
    world = (volume.affine @ corners.T)[:3]
    low = np.floor(np.round(world.min(1) / spacing, 3))
    high = np.ceil(np.round(world.max(1) / spacing, 3))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low * spacing
    i, j, k = (high - low).astype(int) + 1
    return (int(k), int(j), int(i)), affine


def foreground(volume: Volume) -> NDArray[np.bool_]:
    """Head or brain against air: above the level where Otsu's method cuts, holes filled, the largest piece."""
    from skimage.filters import threshold_otsu

    array = np.asarray(volume.array, np.float32)
    low, high = np.percentile(array, (0.5, 99.5))
    clipped = np.clip(array, low, high)
    # Air and tissue differ by far less than tissue and fat: cut again below the first level.
    first = float(threshold_otsu(clipped))
    below = clipped[clipped <= first]
    cut = min(first, float(threshold_otsu(below)) if np.ptp(below) > 0 else first)
    return largest_piece(ndimage.binary_fill_holes(ndimage.binary_opening(clipped > cut)))


def largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 6-connected piece."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask.astype(bool)
    return labels == np.bincount(labels.ravel())[1:].argmax() + 1
