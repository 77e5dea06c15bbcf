"""The statistical deviation: how unusual a voxel is without any network.

1. z of every voxel in every modality (`normative_z.normative_z`), 3 mm median.
2. One number from all modalities: the direction in which most disease of the brain lies (bright on
   FLAIR, T2 and PD, dark on T1), and any deviation at all, which has to be larger to count, and to
   lie in solid brain.
3. Standardised by the scan's own bulk, so that noise and texture cancel.
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
"""Weight and sign of each modality in the direction of disease, chosen on synthetic lesions
(``docs/experiments/constants.md``)."""

ANY_SIGN_COST = 3.0
"""SD by which a deviation against the usual direction must be larger to count as much."""

CAP = 5.0
"""Largest z of all but the reference: a few voxels of wrongly placed fluid would outvote it."""

EDGE_MM = 2.0
"""Nothing is scored this near to the edge of the brain mask: partial volume and errors of the mask
prevail there."""

SOLID_EDGE_MM = 6.0
SOLID_FLUID = 0.05
"""Solid brain: this far from the edge of the mask, and with less than this probability of fluid by
the anatomy."""


def combine_zscores(
    zscores: Mapping[Modality, NDArray[np.float32]],
    parenchyma: NDArray[np.bool_],
    solid: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return one standardised deviation from all modalities.

    Args:
        zscores: modality → (k, j, i) signed z, the reference first.
        parenchyma: (k, j, i) bool, voxels that set the scale.
        solid: (k, j, i) bool, where a deviation of either sign counts; elsewhere fluid explains too
            much.

    Returns:
        (k, j, i) float32, in SD; over the parenchyma its median is 0 and its upper quartile 0.6745.
    """
    capped = {m: z if n == 0 else np.clip(z, -CAP, CAP) for n, (m, z) in enumerate(zscores.items())}
    weights = {m: DIRECTION[m] for m in zscores}
    if len(weights) == 1:
        weights = {m: float(np.sign(w)) for m, w in weights.items()}
    weighted = [np.float32(weight) * capped[m] for m, weight in weights.items()]
    directed = _standardise(sum(weighted[1:], weighted[0]), parenchyma)
    either = np.maximum.reduce([np.abs(_standardise(z, parenchyma)) for z in capped.values()])
    combined = np.where(solid, np.maximum(directed, either - ANY_SIGN_COST), directed)
    return combined.astype(np.float32)


def _standardise(z: NDArray[np.float32], parenchyma: NDArray[np.bool_]) -> NDArray[np.float32]:
    median, upper = np.percentile(z[parenchyma], (50, 75))
    scale = np.float32(max(upper - median, 0.1) / 0.6745)
    standardised: NDArray[np.float32] = (z - np.float32(median)) / scale
    return standardised
