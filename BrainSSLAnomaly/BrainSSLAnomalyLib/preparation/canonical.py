"""Small canonical copies of a volume, on which everything slow is estimated.

A copy has axes along right, anterior and superior and cubic voxels, whatever the scan's own axes,
so that the 48 orders and flips of one scan, and sheared grids, all give the same estimates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.grid import Grid
from ..core.resampling import resample
from ..core.study import Volume


def canonical_copy(volume: Volume, spacing: float, fill: float | None = None) -> Volume:
    """Return the volume on a canonical grid, smoothed first where its own voxels are finer.

    Args:
        volume: on any grid.
        spacing: edge of the cubic voxels, in mm.
        fill: value outside the volume; its minimum by default.
    """
    sigma = [0.42 * max(0.0, spacing / own - 1) for own in volume.spacing]
    array = np.asarray(volume.array, np.float32)
    if max(sigma) > 0.1:
        array = ndimage.gaussian_filter(array, sigma, mode="nearest", truncate=2.5)
    grid = canonical_grid(volume.grid, spacing)
    low = float(array.min()) if fill is None else fill
    return Volume(resample(Volume(array, volume.affine), grid, fill=low), grid.affine)


def canonical_grid(grid: Grid, spacing: float) -> Grid:
    """Return a grid of cubic voxels along the body axes that holds the whole of another grid.

    It is placed on multiples of the spacing, so that it depends on the patient and not on the order
    of axes.

    Args:
        grid: any.
        spacing: edge of the cubic voxels, in mm.
    """
    corners = np.array([[x, y, z, 1.0] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    corners[:, :3] *= np.array(grid.shape[::-1]) - 1
    world = (grid.affine @ corners.T)[:3]
    low = np.floor(np.round(world.min(1) / spacing, 3))
    high = np.ceil(np.round(world.max(1) / spacing, 3))
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low * spacing
    i, j, k = (high - low).astype(int) + 1
    return Grid((int(k), int(j), int(i)), affine)


def foreground(volume: Volume) -> NDArray[np.bool_]:
    """Return head or brain against air, by Otsu's method: holes filled, the largest component."""
    from skimage.filters import threshold_otsu

    array = np.asarray(volume.array, np.float32)
    low, high = np.percentile(array, (0.5, 99.5))
    clipped = np.clip(array, low, high)
    # Air and tissue differ by far less than tissue and fat: cut again below the first level.
    first = float(threshold_otsu(clipped))
    below = clipped[clipped <= first]
    cut = min(first, float(threshold_otsu(below)) if np.ptp(below) > 0 else first)
    return largest_component(ndimage.binary_fill_holes(ndimage.binary_opening(clipped > cut)))


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 6-connected component."""
    import cc3d

    if not mask.any():
        return mask.astype(bool)
    largest: NDArray = cc3d.largest_k(mask, k=1, connectivity=6)
    return largest.astype(bool)
