"""Made scores and masks for the live half."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def some_scores(
    seed: int, shape: tuple[int, int, int] = (9, 14, 16)
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth scores 0–1 and a brain."""
    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.random(shape), 1.2)
    score = (score - score.min()) / np.ptp(score)
    brain = ndimage.binary_dilation(rng.random(shape) > 0.97, iterations=3)
    return score.astype(np.float32), brain


def some_mask(seed: int) -> tuple[np.ndarray, np.ndarray]:
    score, brain = some_scores(seed)
    return (score > 0.6) & brain, brain
