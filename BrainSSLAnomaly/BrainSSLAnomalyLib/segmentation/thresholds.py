"""From anomaly score to a first mask: one small function per method.

Each takes the scores inside the brain's box, (k, j, i), with the brain mask, and marks nothing outside the brain.
"""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from ..settings import ThresholdMethod, ThresholdSettings

Score = NDArray[np.float32]
Mask = NDArray[np.bool_]


def fixed(score: Score, brain: Mask, threshold: float) -> Mask:
    """Scores of at least ``threshold``."""
    return (score >= np.float32(threshold)) & brain


def percentile(score: Score, brain: Mask, percent: float) -> Mask:
    """Scores above the given percentile of the brain's scores."""
    return (score > np.percentile(score[brain], percent)) & brain if brain.any() else brain.copy()


def robust_z(score: Score, brain: Mask, sds: float) -> Mask:
    """Scores more than ``sds`` robust standard deviations (1.4826 · MAD) above the brain's median."""
    if not brain.any():
        return brain.copy()
    values = score[brain]
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    return (score > median + sds * spread) & brain


def otsu(score: Score, brain: Mask) -> Mask:
    """Scores above the level that best parts the brain's scores in two (Otsu 1979)."""
    from skimage.filters import threshold_otsu

    values = score[brain]
    if values.size == 0 or values.min() == values.max():
        return np.zeros_like(brain)
    return (score > threshold_otsu(values)) & brain


def hysteresis(score: Score, brain: Mask, low: float, high: float) -> Mask:
    """Regions of at least ``low`` that hold a voxel of at least ``high`` (26-connected)."""
    labels = cc3d.connected_components(fixed(score, brain, low), connectivity=26)
    keep = np.zeros(int(labels.max()) + 1, bool)
    keep[labels[fixed(score, brain, high)]] = True
    keep[0] = False
    return keep[labels]


def apply(score: Score, brain: Mask, settings: ThresholdSettings) -> Mask:
    """The mask of the chosen method."""
    match settings.method:
        case ThresholdMethod.FIXED:
            return fixed(score, brain, settings.threshold)
        case ThresholdMethod.PERCENTILE:
            return percentile(score, brain, settings.percentile)
        case ThresholdMethod.ROBUST_Z:
            return robust_z(score, brain, settings.zscore)
        case ThresholdMethod.OTSU:
            return otsu(score, brain)
        case ThresholdMethod.HYSTERESIS:
            return hysteresis(score, brain, settings.low, settings.threshold)
