"""One number from all that was seen: a logistic regression whose weights were fitted on synthetic anomalies alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.resources import resource
from ..core.settings import ScoreName
from ..core.study import Modality
from .exceedance import closest

FEATURES = (
    ScoreName.STATISTICAL,
    ScoreName.LOGIT,
    ScoreName.L1,
    ScoreName.SSIM,
    ScoreName.ASYMMETRY,
)
"""What may be fused: scores of voxels. Those of patches are left out: 16 mm wide, they cannot say where a lesion ends, and wherever the fit
took the cosine distance in, masks of real lesions grew (``training/README.md``)."""

NOT_WITH_FLAIR = frozenset({ScoreName.ASYMMETRY})
"""Not used where there is a FLAIR: lesions of white matter lie on both sides, and synthetic ones, on which weights are fitted, do not."""

LIMITS: Mapping[ScoreName, tuple[float, float]] = {
    ScoreName.STATISTICAL: (-3.0, 12.0),
    ScoreName.LOGIT: (-12.0, 12.0),
    ScoreName.L1: (0.0, 4.0),
    ScoreName.SSIM: (0.0, 1.5),
    ScoreName.ASYMMETRY: (-3.0, 8.0),
}
"""Beyond these a feature says no more: a single wild one must not outvote all others."""


def features(modalities: Collection[Modality]) -> tuple[ScoreName, ...]:
    """Those of `FEATURES` that are used for a set of modalities."""
    return tuple(
        name for name in FEATURES if Modality.FLAIR not in modalities or name not in NOT_WITH_FLAIR
    )


@dataclass(frozen=True)
class Fusion:
    """Weights of one set of modalities.

    Attributes:
        weights: of some of `FEATURES`.
        constant: added.
    """

    weights: Mapping[ScoreName, float]
    constant: float

    def __call__(self, scores: Mapping[ScoreName, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Log-odds of being anomalous among synthetic patients; (k, j, i) float32."""
        parts = (
            np.float32(w) * np.clip(scores[name], *LIMITS[name])
            for name, w in self.weights.items()
            if w
        )
        return np.float32(self.constant) + sum(parts)


@lru_cache(maxsize=1)
def _read() -> dict[str, Fusion]:
    content = json.loads(resource("Model", "configs", "fusion.json").read_text(encoding="utf-8"))
    return {
        key: Fusion({ScoreName(n): w for n, w in e["weights"].items()}, e["constant"])
        for key, e in content.items()
    }


def fusion(modalities: Iterable[Modality]) -> Fusion:
    """Of this set of modalities, or of the most similar set that was fitted."""
    known = _read()
    return known[closest(modalities, known)]
