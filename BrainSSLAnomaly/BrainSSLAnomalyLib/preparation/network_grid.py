"""The canonical 1 mm grid that the anomaly network predicts on, and the ways there and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid
from ..core.resampling import resample
from ..core.results import NetworkInput
from ..core.study import Modality, Volume
from .canonical import canonical_grid
from .prepared import PreparedStudy

SPACING_MM = 1.0

SHARP_MM = 3.5
"""Slices across an axis are predicted only if both of their own axes are this fine or finer."""


def network_input(
    prepared: PreparedStudy, modalities: tuple[Modality, ...] | None = None
) -> NetworkInput:
    """Return a study as the network predicts from it.

    Args:
        prepared: the study.
        modalities: those to use; all by default.
    """
    brain = prepared.box_volume(prepared.brain)
    grid = canonical_grid(prepared.box_grid, SPACING_MM)
    inside = resample(brain, grid) > 0.5
    images = {
        modality: resample(prepared.box_volume(image), grid) * inside
        for modality, image in prepared.images.items()
        if modalities is None or modality in modalities
    }
    return NetworkInput(images, grid.affine, sharp_axes(prepared.box_grid))


def sharp_axes(grid: Grid) -> tuple[int, ...]:
    """Return the axes 0, 1, 2 (superior, anterior, right) across which slices are sharp.

    Never none: of a scan without sharp slices it is the axis across which they are sharpest.
    """
    spacing = np.abs(grid.affine[:3, :3]).max(1)[::-1]  # along superior, anterior, right
    fine = spacing <= SHARP_MM
    axes = tuple(a for a in range(3) if all(fine[other] for other in range(3) if other != a))
    return axes or (int(np.argmin(fine)),)


def brain_on(grid: Grid, brain: Volume) -> NDArray[np.bool_]:
    """Return a brain mask on another grid."""
    inside: NDArray[np.bool_] = (
        resample(brain.with_array(brain.array.astype(np.float32)), grid) > 0.5
    )
    return inside
