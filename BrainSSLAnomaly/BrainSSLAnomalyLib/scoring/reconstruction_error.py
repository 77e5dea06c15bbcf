"""How far a scan is from its reconstruction, in pixels and in structure. Arrays are (m, k, j, i), m modalities; results (k, j, i)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SSIM_WIDTH = 7
"""Voxels a side of the window of structural similarity."""

SSIM_RANGE = 8.0
"""Range of normalised intensities that structural similarity supposes."""


def l1(image: NDArray[np.float32], reconstruction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean absolute error over the modalities."""
    return np.abs(image - reconstruction).mean(0)


def l2(image: NDArray[np.float32], reconstruction: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean squared error over the modalities."""
    return np.square(image - reconstruction).mean(0)


def structural(
    image: NDArray[np.float32], reconstruction: NDArray[np.float32]
) -> NDArray[np.float32]:
    """1 − SSIM, mean over the modalities (Wang et al., IEEE Transactions on Image Processing 13 (2004) 600)."""
    from skimage.metrics import structural_similarity

    width = min(SSIM_WIDTH, *(n - 1 + n % 2 for n in image.shape[1:]))
    maps = [
        structural_similarity(a, b, win_size=width, data_range=SSIM_RANGE, full=True)[1]
        for a, b in zip(image, reconstruction, strict=True)
    ]
    return (1 - np.mean(maps, 0)).astype(np.float32)
