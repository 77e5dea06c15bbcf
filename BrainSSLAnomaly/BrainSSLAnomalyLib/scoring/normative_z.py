"""The z-score of an intensity against healthy people at the same place.

The anatomy gives the probability of each tissue at every place, the patient's own scan the
intensity of each tissue. Together they are the distribution of healthy intensities at that voxel: a
mixture of Gaussians. The z-score is the tail probability of the voxel in that mixture, as the
equivalent number of standard deviations:

    z(x) = −Φ⁻¹( Σₜ pₜ Φ(−(x − μₜ)/σₜ) )

so that CSF is no anomaly near the ventricle, where CSF may be, and is one deep in white matter.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .median import median_of_27

MAX_Z = 10.0
"""Largest z: smaller tail probabilities are not exact in double precision."""


def normative_z(
    image: NDArray[np.float32],
    weights: NDArray[np.float32],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
    inside: NDArray[np.bool_],
    unbounded_side: NDArray[np.int8] | None = None,
) -> NDArray[np.float32]:
    """Return the signed z-score of every voxel.

    Args:
        image: (k, j, i) intensities.
        weights: (t, k, j, i) probability of each tissue there; need not sum to exactly 1.
        mean: (t,) of each tissue, in the units of ``image``.
        sd: (t,) of each tissue, in the units of ``image``.
        inside: (k, j, i) where to compute; 0 elsewhere.
        unbounded_side: (t,) −1 or +1 for a tissue that nothing can exceed on its dark or bright
            side (nothing is more fluid than fluid), 0 for the others.

    Returns:
        (k, j, i) float32, within ±`MAX_Z`; positive is brighter than healthy.
    """
    x = image[inside]
    upper, lower, total = (np.zeros(x.shape, np.float64) for _ in range(3))
    sides = np.zeros(len(mean), np.int8) if unbounded_side is None else unbounded_side
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
    z = np.minimum(-ndtri(np.clip(tail, 1e-23, 0.5)), MAX_Z)
    out = np.zeros(image.shape, np.float32)
    out[inside] = np.where(upper < lower, z, -z)
    return out


def median_filter(
    array: NDArray[np.float32], spacing: tuple[float, float, float], width_mm: float = 3.0
) -> NDArray[np.float32]:
    """Return the median over a box, never across slices thicker than the box.

    Args:
        array: (k, j, i).
        spacing: along (k, j, i), in mm.
        width_mm: of the box.
    """
    radius = [max(0, min(3, round((width_mm / s - 1) / 2))) for s in spacing]
    if not any(radius):
        return array
    if all(r == 1 for r in radius):
        return median_of_27(array)
    image = sitk.Median(sitk.GetImageFromArray(array), [int(r) for r in reversed(radius)])
    filtered: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    return filtered
