"""Is there a brain at all? Registration always returns something, even for a phantom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from ..core.errors import PreparationFailed
from ..core.resampling import resample
from ..core.study import Modality, Volume
from .canonical import coarse_copy
from .registration import template_picture
from .template import Template

SPACING_MM = 4.0
_GRID = np.array(
    [[SPACING_MM, 0, 0, -88], [0, SPACING_MM, 0, -124], [0, 0, SPACING_MM, -70], [0, 0, 0, 1]]
)
_SHAPE = (45, 55, 46)

LEAST_LIKENESS: Mapping[Modality, float] = {
    Modality.T1: 0.4,
    Modality.T2: 0.35,
    Modality.FLAIR: 0.14,
    Modality.T1C: 0.15,
    Modality.PD: 0.15,
}
"""Measured on 30 scans of brains with and without lesions: T1 0.66 to 0.80, T2 0.55 to 0.70, FLAIR 0.21 (a 220 ml tumour) to
0.46; on phantoms and noise at most 0.22 as T1, 0.08 as T2 and 0.09 as FLAIR."""

BRAIN_LIMITS_ML = (500.0, 2600.0)
"""No adult brain with its CSF lies outside; usual ones have 1100 to 1800 ml."""


def check_likeness(
    scan: Volume, modality: Modality, world: NDArray[np.float64], template: Template
) -> None:
    """Refuse what does not look like a brain in this contrast.

    Args:
        scan: any grid.
        modality: its contrast.
        world: (4, 4), RAS mm of the template → RAS mm of the scan.

    Raises:
        PreparationFailed: no brain, or another contrast than it was said to be.
    """
    found = likeness(scan, modality, world, template)
    if found < -LEAST_LIKENESS[modality]:
        raise PreparationFailed(
            f"the scan has its tissues in the opposite order of a {modality.value}",
            "check which contrast it has and say it",
        )
    if found < LEAST_LIKENESS[modality]:
        raise PreparationFailed(
            f"no brain was found in the scan (it resembles a brain on {modality.value} by {max(found, 0):.2f} of 1)",
            "check that it shows a whole head in that contrast, and that it is no phantom or other organ",
        )


def likeness(
    scan: Volume, modality: Modality, world: NDArray[np.float64], template: Template
) -> float:
    """Rank correlation of the inner brain with the anatomy drawn in this contrast, smooth shading taken out of both.

    Returns:
        −1 to 1: of the whole brain or of its better half, since a tumour may fill the other. Ranks, because it may be far
        brighter than all else.
    """
    core = ndimage.binary_erosion(_on_template(template.intracranial, np.eye(4)) > 0.95)
    drawn = _on_template(template_picture(template, modality, skull=False), np.eye(4))
    seen = ndimage.gaussian_filter(_on_template(coarse_copy(scan, SPACING_MM), world), 0.7)
    left = np.broadcast_to(np.arange(_SHAPE[2]) < _SHAPE[2] // 2, _SHAPE)
    return max(
        _unshaded_correlation(drawn, seen, part) for part in (core, core & left, core & ~left)
    )


def _unshaded_correlation(drawn: NDArray, seen: NDArray, part: NDArray[np.bool_]) -> float:
    if np.ptp(seen[part]) == 0:
        return 0.0
    k, j, i = ((n[part] - n[part].mean()) / 20 for n in np.indices(_SHAPE, np.float64))
    shading, _ = np.linalg.qr(
        np.stack([np.ones_like(k), k, j, i, k**2, j**2, i**2, k * j, k * i, j * i], 1)
    )

    def unshaded(values: NDArray) -> NDArray[np.float64]:
        ranks = rankdata(values)
        ranks = ranks - shading @ (shading.T @ ranks)
        return ranks / max(float(np.linalg.norm(ranks)), 1e-12)

    return float(unshaded(drawn[part]) @ unshaded(seen[part]))


def check_volume(mask: NDArray[np.bool_], grid: Volume) -> None:
    """Refuse a brain mask of impossible size.

    Raises:
        PreparationFailed: volume out of `BRAIN_LIMITS_ML`.
    """
    ml = float(mask.sum()) * grid.voxel_ml
    low, high = BRAIN_LIMITS_ML
    if not low <= ml <= high:
        raise PreparationFailed(
            f"no brain was found in the scan (the best guess has {ml:.0f} ml)",
            "check that it shows a whole adult head and that its orientation is right",
        )


def _on_template(volume: Volume, world: NDArray[np.float64]) -> NDArray[np.float32]:
    return resample(volume, _SHAPE, _GRID, world)
