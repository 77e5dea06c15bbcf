"""From anomaly score to a first mask: one small function per method.

Each takes the scores inside the brain's box, (k, j, i), with the brain mask, and marks nothing outside the brain.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..core.settings import ThresholdMethod, ThresholdSettings
from .morphology import at, pieces

Score = NDArray[np.float32]
Mask = NDArray[np.bool_]


def fixed(score: Score, brain: Mask, threshold: float) -> Mask:
    """Scores of at least ``threshold``."""
    return (score >= np.float32(threshold)) & brain


class BrainScores:
    """What the adaptive methods ask of one brain's scores, worked out once: it does not change when a slider moves.

    Args:
        score, brain: (k, j, i).
    """

    def __init__(self, score: Score, brain: Mask) -> None:
        self._values = np.sort(score[brain])

    def percentile(self, percent: float) -> float:
        """Level that ``percent`` of the scores do not exceed; infinite for an empty brain."""
        return float(np.percentile(self._values, percent)) if self._values.size else np.inf

    @cached_property
    def median_and_spread(self) -> tuple[float, float]:
        """Median, and 1.4826 times the median absolute deviation from it."""
        median = self.percentile(50)
        return median, 1.4826 * float(
            np.median(np.abs(self._values - median))
        ) if self._values.size else 0.0

    @cached_property
    def otsu(self) -> float:
        """Level that best parts the scores in two (Otsu 1979); infinite where all are equal."""
        from skimage.filters import threshold_otsu

        if self._values.size == 0 or self._values[0] == self._values[-1]:
            return np.inf
        return float(threshold_otsu(self._values))


def percentile(
    score: Score, brain: Mask, percent: float, scores: BrainScores | None = None
) -> Mask:
    """Scores above the given percentile of the brain's scores."""
    return _above(score, brain, (scores or BrainScores(score, brain)).percentile(percent))


def robust_z(score: Score, brain: Mask, sds: float, scores: BrainScores | None = None) -> Mask:
    """Scores more than ``sds`` robust standard deviations (1.4826 · MAD) above the brain's median."""
    median, spread = (scores or BrainScores(score, brain)).median_and_spread
    return _above(score, brain, median + sds * spread)


def otsu(score: Score, brain: Mask, scores: BrainScores | None = None) -> Mask:
    """Scores above the level that best parts the brain's scores in two."""
    return _above(score, brain, (scores or BrainScores(score, brain)).otsu)


def _above(score: Score, brain: Mask, level: float) -> Mask:
    return (score > np.float32(level)) & brain


def hysteresis(score: Score, brain: Mask, low: float, high: float) -> Mask:
    """Regions of at least ``low`` that hold a voxel of at least ``high`` (26-connected)."""
    inside, numbers = pieces(fixed(score, brain, low))
    seeded = numbers[score.ravel()[inside] >= np.float32(high)]
    return at(inside, np.isin(numbers, seeded), score.shape)


def level(settings: ThresholdSettings, scores: BrainScores) -> float:
    """The lowest score that a method can mark; infinite where it marks nothing."""
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
    """The mask of the chosen method; ``scores`` spares the adaptive ones their work."""
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
