"""How far an intensity is from what healthy people have at that place, in standard deviations.

At every place the anatomy says which tissues may be there, and the patient's own scan says which intensity each tissue
has. Together they are the distribution of healthy intensities at that voxel: a mixture of Gaussians. The z-score
is the tail probability of the voxel in that mixture, written as the equivalent number of standard deviations:

    z(x) = −Φ⁻¹( Σₜ pₜ Φ(−(x − μₜ)/σₜ) )

so that near the ventricle, where CSF may be, CSF is no anomaly, and deep in white matter it is.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

LARGEST_Z = 10.0
"""Tails are cut here, where probabilities leave double precision's comfort."""


def healthy_z(
    image: NDArray[np.float32],
    weights: NDArray[np.float32],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    inside: NDArray[np.bool_],
    endless: NDArray[np.int8] | None = None,
) -> NDArray[np.float32]:
    """Signed z of every voxel.

    Args:
        image: (k, j, i) intensities.
        weights: (t, k, j, i) probability of each healthy component there; need not sum to exactly 1.
        mean, sd: (t,) of each component, in the units of ``image``.
        inside: (k, j, i) where to compute; 0 elsewhere.
        endless: (t,) −1 or +1 for a component that nothing can exceed on its dark or bright side (nothing is more fluid
            than fluid), 0 for the others.

    Returns:
        (k, j, i) float32, within ±`LARGEST_Z`; positive is brighter than healthy.
    """
    x = image[inside]
    upper, lower, total = (np.zeros(x.shape, np.float64) for _ in range(3))
    sides = np.zeros(len(mean), np.int8) if endless is None else endless
    for weight, m, s, side in zip(weights, mean, sd, sides, strict=True):
        w = weight[inside]
        some = np.flatnonzero(w > 1e-4)
        u = (x[some] - m) / s
        if side:
            u = np.minimum(u, 0) if side > 0 else np.maximum(u, 0)
        upper[some] += w[some] * ndtr(-u)
        lower[some] += w[some] * ndtr(u)
        total[some] += w[some]
    total = np.maximum(total, 1e-6)
    tail = np.minimum(upper, lower) / total
    z = np.minimum(-ndtri(np.clip(tail, 1e-23, 0.5)), LARGEST_Z)
    out = np.zeros(image.shape, np.float32)
    out[inside] = np.where(upper < lower, z, -z)
    return out


def median_mm(
    array: NDArray[np.float32], spacing: tuple[float, float, float], width_mm: float = 3.0
) -> NDArray[np.float32]:
    """Median over a box of about ``width_mm``, never across slices thicker than that."""
    radius = [max(0, min(3, round((width_mm / s - 1) / 2))) for s in spacing]
    if not any(radius):
        return array
    return sitk.GetArrayFromImage(
        sitk.Median(sitk.GetImageFromArray(array), [int(r) for r in reversed(radius)])
    )
