"""Smooth random fields, which textures, deformations and bias fields are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def draw_smooth_noise(
    shape: tuple[int, ...], scale: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw Gaussian noise of unit variance with features of ``scale`` voxels.

    Args:
        shape: of the array.
        scale: size of its features in voxels; 1 or less gives white noise.
        rng: the only source of randomness.

    Returns:
        Float32 array of that shape.

    Example:
        >>> noise = draw_smooth_noise((20, 20, 20), 5, np.random.default_rng(0))
        >>> noise.shape, round(float(noise.std()), 3)
        ((20, 20, 20), 1.0)
    """
    if scale <= 1:
        return rng.standard_normal(shape, np.float32)
    small = rng.standard_normal([max(3, round(n / scale) + 2) for n in shape], np.float32)
    grown = ndimage.zoom(
        small,
        [n / m for n, m in zip(shape, small.shape, strict=True)],
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    found: NDArray[np.float32] = grown / max(float(grown.std()), 1e-6)
    return found


def draw_smooth_field(
    shape: tuple[int, int, int], scale: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw Gaussian noise of unit variance without edges: a cubic spline through white noise.

    It is what bodies and textures are shaped by. `draw_smooth_noise` is linear between its knots.

    Args:
        shape: (k, j, i).
        scale: distance of the knots in voxels, at least 1.
        rng: the only source of randomness.

    Returns:
        (k, j, i) float32.

    Example:
        >>> field = draw_smooth_field((20, 20, 20), 5, np.random.default_rng(0))
        >>> field.shape, round(float(field.std()), 3)
        ((20, 20, 20), 1.0)
    """
    bases = [_spline_basis(n, max(1.0, scale)) for n in shape]
    field = rng.standard_normal([basis.shape[1] for basis in bases], np.float32)
    for basis in bases:
        field = np.tensordot(field, basis, ((0,), (1,)))
    found: NDArray[np.float32] = field / max(float(field.std()), 1e-6)
    return found


def _spline_basis(length: int, scale: float) -> NDArray[np.float32]:
    """Return how much each knot of a cubic B-spline counts at each voxel, (length, knots)."""
    at = np.arange(length)[:, None] / scale + 1.0
    knots = np.arange(int(np.ceil(length / scale)) + 3)[None]
    apart = np.abs(at - knots)
    near, far = 2 / 3 - apart**2 + apart**3 / 2, (2 - np.minimum(apart, 2)) ** 3 / 6
    basis: NDArray[np.float32] = np.where(apart < 1, near, far).astype(np.float32)
    return basis
