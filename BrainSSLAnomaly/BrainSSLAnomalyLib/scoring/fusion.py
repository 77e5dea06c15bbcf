"""Fusion of scores by logistic regression, its weights fitted on synthetic anomalies alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.resources import read_json, resource
from ..core.settings import ScoreName
from ..core.study import Modality
from .exceedance import most_similar_key

FEATURES = (
    ScoreName.STATISTICAL,
    ScoreName.LOGIT,
    ScoreName.L1,
    ScoreName.SSIM,
    ScoreName.ASYMMETRY,
)
"""Scores that can be fused: those of voxels. Patches are 16 mm wide and do not show where a lesion
ends: with their distances in the fit, masks of real lesions grew
(``docs/experiments/constants.md``)."""

NOT_WITH_FLAIR = frozenset({ScoreName.ASYMMETRY})
"""Not used where there is a FLAIR: white-matter lesions lie on both sides, unlike the synthetic
ones on which the weights are fitted."""

LIMITS: Mapping[ScoreName, tuple[float, float]] = {
    ScoreName.STATISTICAL: (-3.0, 12.0),
    ScoreName.LOGIT: (-12.0, 12.0),
    ScoreName.L1: (0.0, 4.0),
    ScoreName.SSIM: (0.0, 1.5),
    ScoreName.ASYMMETRY: (-3.0, 8.0),
}
"""Scores are clipped to these limits, so that a single extreme one does not outvote all others."""


def features(modalities: Collection[Modality]) -> tuple[ScoreName, ...]:
    """Return those of `FEATURES` that are used for a set of modalities."""
    return tuple(
        name for name in FEATURES if Modality.FLAIR not in modalities or name not in NOT_WITH_FLAIR
    )


@dataclass(frozen=True)
class Fusion:
    """Hold the weights of one set of modalities.

    Attributes:
        weights: of some of `FEATURES`.
        constant: added to the weighted sum.
    """

    weights: Mapping[ScoreName, float]
    constant: float

    def __call__(self, scores: Mapping[ScoreName, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the log-odds of being anomalous among synthetic patients, (k, j, i) float32."""
        log_odds: NDArray[np.float32] = np.float32(self.constant) + sum(
            np.float32(weight) * np.clip(scores[name], *LIMITS[name])
            for name, weight in self.weights.items()
            if weight
        )
        return log_odds


@lru_cache(maxsize=1)
def _read() -> dict[str, Fusion]:
    content = read_json(resource("Model", "configs", "fusion.json"))
    return {
        key: Fusion({ScoreName(n): w for n, w in e["weights"].items()}, e["constant"])
        for key, e in content.items()
    }


def fusion(modalities: Iterable[Modality]) -> Fusion:
    """Return the fusion of a set of modalities, or of the most similar set that was fitted."""
    known = _read()
    return known[most_similar_key(modalities, known)]
