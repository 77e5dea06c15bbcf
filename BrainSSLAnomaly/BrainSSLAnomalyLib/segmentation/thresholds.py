"""From anomaly score to a first mask: one small function a method.

Each takes the scores inside the brain's box, (k, j, i), with the brain mask, and marks nothing
outside the brain.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.settings import ThresholdMethod, ThresholdSettings
from .morphology import list_components, mask_of

Score = NDArray[np.float32]
Mask = NDArray[np.bool_]


def fixed(score: Score, brain: Mask, threshold: float) -> Mask:
    """Return the scores of at least ``threshold``."""
    marked: Mask = (score >= np.float32(threshold)) & brain
    return marked


class BrainScores:
    """Compute the statistics of one brain's scores that adaptive methods need, once.

    Args:
        score: (k, j, i).
        brain: (k, j, i) bool.
    """

    def __init__(self, score: Score, brain: Mask) -> None:
        self._values = np.sort(score[brain])

    def percentile(self, percent: float) -> float:
        """Return the level that ``percent`` of scores do not exceed; infinite without a brain."""
        return float(np.percentile(self._values, percent)) if self._values.size else np.inf

    @cached_property
    def median_and_spread(self) -> tuple[float, float]:
        """Return the median, and the median absolute deviation scaled to a standard deviation."""
        from scipy.stats import median_abs_deviation

        if self._values.size == 0:
            return np.inf, 0.0
        spread = 1.4826 * median_abs_deviation(self._values)
        return self.percentile(50), float(spread)

    @cached_property
    def otsu(self) -> float:
        """Return the level of Otsu's method; infinite where all scores are equal."""
        from skimage.filters import threshold_otsu

        if self._values.size == 0 or self._values[0] == self._values[-1]:
            return np.inf
        return float(threshold_otsu(self._values))


def percentile(
    score: Score, brain: Mask, percent: float, scores: BrainScores | None = None
) -> Mask:
    """Return the scores above a percentile of the brain's scores."""
    return _above(score, brain, (scores or BrainScores(score, brain)).percentile(percent))


def robust_z(score: Score, brain: Mask, sds: float, scores: BrainScores | None = None) -> Mask:
    """Return the scores more than ``sds`` robust SD (1.4826 · MAD) above the brain's median."""
    median, spread = (scores or BrainScores(score, brain)).median_and_spread
    return _above(score, brain, median + sds * spread)


def otsu(score: Score, brain: Mask, scores: BrainScores | None = None) -> Mask:
    """Return the scores above the level of Otsu's method."""
    return _above(score, brain, (scores or BrainScores(score, brain)).otsu)


def _above(score: Score, brain: Mask, level: float) -> Mask:
    marked: Mask = (score > np.float32(level)) & brain
    return marked


def hysteresis(score: Score, brain: Mask, low: float, high: float) -> Mask:
    """Return the regions of at least ``low`` with a voxel of at least ``high`` (26-connected)."""
    inside, numbers = list_components(fixed(score, brain, low))
    seeded = numbers[score.ravel()[inside] >= np.float32(high)]
    return mask_of(inside, np.isin(numbers, seeded), score.shape)


def lowest_level(settings: ThresholdSettings, scores: BrainScores) -> float:
    """Return the lowest score that a method can mark; infinite where it marks nothing."""
    match settings.method:
        case ThresholdMethod.FIXED:
            return settings.threshold
        case ThresholdMethod.PERCENTILE:
            return scores.percentile(settings.percentile)
        case ThresholdMethod.ROBUST_Z:
            median, spread = scores.median_and_spread
            return median + settings.zscore * spread
        case ThresholdMethod.OTSU:
            return scores.otsu
        case ThresholdMethod.HYSTERESIS:
            return settings.low


def apply(
    score: Score, brain: Mask, settings: ThresholdSettings, scores: BrainScores | None = None
) -> Mask:
    """Return the mask of the chosen method.

    Args:
        score: (k, j, i), anomaly score.
        brain: (k, j, i) bool.
        settings: method and levels.
        scores: statistics of the brain, if they have been computed.
    """
    match settings.method:
        case ThresholdMethod.FIXED:
            return fixed(score, brain, settings.threshold)
        case ThresholdMethod.PERCENTILE:
            return percentile(score, brain, settings.percentile, scores)
        case ThresholdMethod.ROBUST_Z:
            return robust_z(score, brain, settings.zscore, scores)
        case ThresholdMethod.OTSU:
            return otsu(score, brain, scores)
        case ThresholdMethod.HYSTERESIS:
            return hysteresis(score, brain, settings.low, settings.threshold)
