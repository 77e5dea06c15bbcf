"""How far a place is from the other side of the same brain: what a radiologist compares first.

Ventricles, sulci and caps lie on both sides; most tumours do not. Lesions of white matter in old age do too, so that this says little
about those.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import COARSE_AFFINE, COARSE_SHAPE
from ..core.resampling import resample
from ..core.study import Volume

SMOOTH_MM, TOLERANCE_MM = 2.0, 4.0
"""Standard deviation of the smoothing, and how far apart the same place may lie on the two sides: no brain is quite symmetric."""

RANGE = (-3.0, 10.0)
"""Deviations beyond these count as these."""


def asymmetry(
    deviation: NDArray[np.float32],
    brain: NDArray[np.bool_],
    affine: NDArray[np.float64],
    template_to_patient: NDArray[np.float64],
) -> NDArray[np.float32]:
    """How much more unusual a place is than the most unusual one near its counterpart on the other side.

    Args:
        deviation: (k, j, i), in SD, larger being more unusual.
        brain: (k, j, i) bool; nothing outside of it counts.
        affine: of their grid, (i, j, k) → RAS mm of the patient.
        template_to_patient: (4, 4), RAS mm → RAS mm.

    Returns:
        (k, j, i) float32, in SD; positive where this side is the more unusual one.
    """
    grid, spacing, low = (COARSE_SHAPE, COARSE_AFFINE), COARSE_AFFINE[0, 0], RANGE[0]
    here = Volume(np.where(brain, np.clip(deviation, *RANGE), 0).astype(np.float32), affine)
    inside = resample(here.with_array(brain.astype(np.float32)), *grid, template_to_patient)
    weight = ndimage.gaussian_filter(inside, SMOOTH_MM / spacing)
    unusual = ndimage.gaussian_filter(
        resample(here, *grid, template_to_patient), SMOOTH_MM / spacing
    ) / np.maximum(weight, 0.05)
    reach = round(TOLERANCE_MM / spacing)
    ball = (np.square(np.indices((2 * reach + 1,) * 3) - reach)).sum(0) <= reach**2
    other = ndimage.grey_dilation(np.where(inside > 0.5, unusual, low), footprint=ball)[:, :, ::-1]
    back = np.linalg.inv(template_to_patient)
    return (
        resample(
            Volume((unusual - other).astype(np.float32), COARSE_AFFINE),
            deviation.shape,
            affine,
            back,
        )
        * brain
    )
