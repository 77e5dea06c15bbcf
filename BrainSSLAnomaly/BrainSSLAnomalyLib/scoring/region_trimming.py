"""Where something very unusual ends.

A level that finds faint lesions lies in the skirts of bright ones: partial volume, a halo, the smoothing of statistics. So a region
reaches only so far down from its own peak.
"""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.settings import ScoreName, ThresholdSettings
from .deviation import score_from_deviation
from .exceedance import HealthyTable

DEPTH = 6.5
"""Log-odds from the peak of a region down to its edge, fused scores only: an odds ratio of 665. Chosen on synthetic patients and on real
healthy scans with lesions put in (``training/README.md``)."""

PEAK_PERCENT = 95.0
"""The peak is what the most unusual twentieth of a region exceeds: a few wild voxels shall not decide."""

EDGE = ThresholdSettings().low
"""Score from which voxels may belong together: the default of hysteresis."""


def anomaly_score(
    deviation: NDArray[np.float32], scored: NDArray[np.bool_], table: HealthyTable, name: ScoreName
) -> NDArray[np.float32]:
    """Anomaly score 0–1, see `score_from_deviation`; fused scores without their skirts.

    Args:
        deviation: (k, j, i) any of the scores.
        scored: (k, j, i) where there is one; elsewhere it is 0.
        table: the healthy one of this score.
        name: which score it is.
    """
    score = score_from_deviation(deviation, table.levels, table.healthy_ml) * scored
    if name is not ScoreName.FUSED:
        return score
    return np.where(
        skirts(np.minimum(deviation, table.highest), score >= EDGE), EDGE * score, score
    ).astype(np.float32)


def skirts(log_odds: NDArray[np.float32], unusual: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels more than `DEPTH` below the peak of their own 26-connected region.

    Args:
        log_odds: (k, j, i) of being anomalous.
        unusual: (k, j, i) what regions are made of.
    """
    labels = cc3d.connected_components(unusual, connectivity=26)
    out = np.zeros(unusual.shape, bool)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        region = labels[box] == number
        values = log_odds[box]
        inside = values[region]
        if np.ptp(inside) > DEPTH:
            out[box] |= region & (values < np.percentile(inside, PEAK_PERCENT) - DEPTH)
    return out
