"""Reconstruction error: how far a scan is from its reconstruction, in intensity and in structure.

Images are (m, k, j, i) with m modalities; errors are (k, j, i), the mean over the modalities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SSIM_WIDTH = 7
"""Voxels a side of the window of structural similarity."""

SSIM_RANGE = 8.0
"""Range of normalised intensities for structural similarity, in SD of the parenchyma."""


def absolute_error(
    image: NDArray[np.float32], reconstruction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean absolute error (L1)."""
    error: NDArray[np.float32] = np.abs(image - reconstruction).mean(0)
    return error


def squared_error(
    image: NDArray[np.float32], reconstruction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean squared error (L2)."""
    error: NDArray[np.float32] = np.square(image - reconstruction).mean(0)
    return error


def structural_error(
    image: NDArray[np.float32], reconstruction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return 1 − SSIM (Wang et al., IEEE Transactions on Image Processing 13 (2004) 600)."""
    from skimage.metrics import structural_similarity

    width = min(SSIM_WIDTH, *(n - 1 + n % 2 for n in image.shape[1:]))
    maps = [
        structural_similarity(a, b, win_size=width, data_range=SSIM_RANGE, full=True)[1]
        for a, b in zip(image, reconstruction, strict=True)
    ]
    error: NDArray[np.float32] = (1 - np.mean(maps, 0)).astype(np.float32)
    return error
