"""The anomaly score that needs no network: healthy statistics alone.

1. z of every voxel in every modality (`normative.healthy_z`), 3 mm median.
2. One number from all modalities: the direction in which most disease of the brain lies (bright on FLAIR, T2 and PD,
   dark on T1), and beside it any deviation at all, which has to be larger to count, and to lie in solid brain.
3. Standardised by the scan's own bulk, so that noise and texture cancel.
4. Read off a table of healthy scans: how many millilitres of a healthy brain are at least as unusual?
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..core.study import Modality

DIRECTION: Mapping[Modality, float] = {
    Modality.FLAIR: 1.0,
    Modality.T2: 0.3,
    Modality.PD: 0.3,
    Modality.T1: -0.2,
    Modality.T1C: 0.2,
}
"""Weight and sign of each modality in the direction of disease. Chosen on synthetic lesions (see training/README.md)."""

ANY_SIGN_COST = 3.0
"""Standard deviations by which a deviation against the usual direction must be larger to count as much."""

CAP = 5.0
"""Only the reference may say more than this: beside it, a few voxels of wrongly placed fluid would outvote everything."""

EDGE_MM = 2.0
"""Within this distance of the edge of the brain mask nothing is scored: partial volume and misplaced masks rule there."""

SOLID_EDGE_MM = 6.0
SOLID_FLUID = 0.05
"""Solid brain: this far from the edge of the mask, and with less than this chance of fluid by the anatomy."""


def combine(
    zscores: Mapping[Modality, NDArray[np.float32]],
    parenchyma: NDArray[np.bool_],
    solid: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """One standardised deviation from all modalities.

    Args:
        zscores: modality → (k, j, i) signed z, the reference first.
        parenchyma: (k, j, i) bool, voxels that set the scale.
        solid: (k, j, i) bool, where a deviation of either sign counts; elsewhere fluid explains too much.

    Returns:
        (k, j, i) float32; over the parenchyma its median is 0 and its upper quartile 0.6745.
    """
    capped = {m: z if n == 0 else np.clip(z, -CAP, CAP) for n, (m, z) in enumerate(zscores.items())}
    weights = {m: DIRECTION[m] for m in zscores}
    if len(weights) == 1:
        weights = {m: float(np.sign(w)) for m, w in weights.items()}
    directed = _standardised(sum(np.float32(w) * capped[m] for m, w in weights.items()), parenchyma)
    against = (
        np.maximum.reduce([np.abs(_standardised(z, parenchyma)) for z in capped.values()])
        - ANY_SIGN_COST
    )
    return np.where(solid, np.maximum(directed, against), directed).astype(np.float32)


def _standardised(z: NDArray[np.float32], parenchyma: NDArray[np.bool_]) -> NDArray[np.float32]:
    middle, upper = np.percentile(z[parenchyma], (50, 75))
    return (z - np.float32(middle)) / np.float32(max(upper - middle, 0.1) / 0.6745)


def score_from_deviation(
    deviation: NDArray[np.float32], levels: NDArray[np.float64], healthy_ml: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Anomaly score 0–1 from the healthy exceedance table.

    The score is ``1 / (1 + V)``, where V is the volume in millilitres of a healthy brain that is at least as unusual:
    0.5 means that 1 ml of a healthy brain looks like this, 0.9 means 0.11 ml, 0.99 means 0.01 ml. So it means the
    same on every scan and for every set of modalities.

    Args:
        deviation: from `combine`.
        levels: rising deviations of the table.
        healthy_ml: mean volume of healthy brains above each level, falling.
    """
    logarithm = np.interp(
        np.linspace(levels[0], levels[-1], 2048), levels, np.log(np.maximum(healthy_ml, 1e-4))
    )
    step = (levels[-1] - levels[0]) / 2047
    index = np.clip((deviation - levels[0]) / step, 0, 2047).astype(np.int32)
    return (1 / (1 + np.exp(logarithm)))[index].astype(np.float32)
