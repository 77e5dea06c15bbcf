"""Asymmetry: how unusual a place is beyond its counterpart in the other hemisphere.

Ventricles, sulci and caps lie on both sides; most tumours do not. White-matter lesions of old age
lie on both sides too, so that this says little about them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import COARSE_GRID
from ..core.grid import Grid
from ..core.resampling import resample
from ..core.study import Volume

SMOOTH_MM = 2.0
"""Standard deviation of the smoothing."""

TOLERANCE_MM = 4.0
"""How far apart the same place may lie on the two sides: no brain is quite symmetric."""

RANGE = (-3.0, 10.0)
"""Deviations are clipped to this range, in SD."""


def asymmetry(
    deviation: NDArray[np.float32],
    brain: NDArray[np.bool_],
    grid: Grid,
    template_to_patient: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return how much a place deviates beyond the largest deviation near its counterpart.

    Args:
        deviation: (k, j, i), in SD, larger being more unusual.
        brain: (k, j, i) bool; only what is inside counts.
        grid: of both.
        template_to_patient: (4, 4), RAS mm → RAS mm.

    Returns:
        (k, j, i) float32, in SD; positive where this side is the more unusual one.
    """
    spacing, low = COARSE_GRID.spacing[0], RANGE[0]
    clipped = np.where(brain, np.clip(deviation, *RANGE), 0).astype(np.float32)
    source = Volume(clipped, grid.affine)
    on_template = resample(source, COARSE_GRID, template_to_patient)
    inside = resample(source.with_array(brain.astype(np.float32)), COARSE_GRID, template_to_patient)
    sigma = SMOOTH_MM / spacing
    weight = np.maximum(ndimage.gaussian_filter(inside, sigma), 0.05)
    smooth = ndimage.gaussian_filter(on_template, sigma) / weight
    reach = round(TOLERANCE_MM / spacing)
    ball = (np.square(np.indices((2 * reach + 1,) * 3) - reach)).sum(0) <= reach**2
    largest_near = ndimage.grey_dilation(np.where(inside > 0.5, smooth, low), footprint=ball)
    difference = (smooth - largest_near[:, :, ::-1]).astype(np.float32)
    to_template = np.linalg.inv(template_to_patient)
    back = resample(Volume(difference, COARSE_GRID.affine), grid, to_template)
    masked: NDArray[np.float32] = back * brain
    return masked
