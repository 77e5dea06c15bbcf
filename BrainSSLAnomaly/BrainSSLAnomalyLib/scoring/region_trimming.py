"""Region trimming: voxels that score far below the peak of their region are left out.

A level that finds faint lesions also holds the surroundings of bright ones: partial volume, a halo,
the smoothing of statistics. So a region reaches only so far down from its own peak.
"""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.settings import ScoreName, ThresholdSettings
from .exceedance import ExceedanceTable

DEPTH = 6.5
"""Log-odds from the peak of a region down to its edge, fused scores only: an odds ratio of 665.
Chosen on synthetic patients and on healthy scans with implanted lesions
(``docs/experiments/constants.md``)."""

PEAK_PERCENT = 95.0
"""The peak is what the most unusual twentieth of a region exceeds, so that no few voxels decide."""

EDGE = ThresholdSettings().low
"""Score from which voxels can belong to a region: the default of hysteresis."""


def anomaly_score(
    values: NDArray[np.float32],
    scored: NDArray[np.bool_],
    table: ExceedanceTable,
    name: ScoreName,
) -> NDArray[np.float32]:
    """Return the anomaly score, 0–1, trimmed where it comes from fused scores.

    Args:
        values: (k, j, i) of any of the scores, not calibrated.
        scored: (k, j, i) where there is a score; elsewhere it is 0.
        table: of that score.
        name: of that score.
    """
    score = table.calibrate(values) * scored
    if name is not ScoreName.FUSED:
        return score
    far_below = below_peak(np.minimum(values, table.highest), score >= EDGE)
    return np.where(far_below, EDGE * score, score).astype(np.float32)


def below_peak(log_odds: NDArray[np.float32], regions: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the voxels more than `DEPTH` below the peak of their own 26-connected region.

    Args:
        log_odds: (k, j, i) of being anomalous.
        regions: (k, j, i) voxels that form regions.
    """
    labels = cc3d.connected_components(regions, connectivity=26)
    out = np.zeros(regions.shape, bool)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        region = labels[box] == number
        values = log_odds[box]
        inside = values[region]
        if np.ptp(inside) > DEPTH:
            out[box] |= region & (values < np.percentile(inside, PEAK_PERCENT) - DEPTH)
    return out
