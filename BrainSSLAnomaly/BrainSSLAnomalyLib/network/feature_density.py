"""Feature density: how far the embedding of a patch is from those of healthy people.

A network gives each patch of 16 mm a unit-length embedding. Healthy ones are described by their
mean, a Gaussian with shrunken covariance (Ledoit and Wolf, Journal of Multivariate Analysis 88
(2004) 365), and a sample for a kernel density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..core.settings import ScoreName

CONCENTRATION = 20.0
"""Of the von Mises–Fisher kernel, which is a Gaussian kernel on the sphere."""

Measure = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class HealthyPatches:
    """Hold embeddings of healthy patches.

    Attributes:
        mean: (e,).
        precision: (e, e), inverse of the shrunken covariance.
        sample: (n, e), unit length.
    """

    mean: NDArray[np.float32]
    precision: NDArray[np.float32]
    sample: NDArray[np.float32]

    def distance(self, name: ScoreName) -> Measure:
        """Return a function from embeddings (b, e, h, w) to distances (b, 1, h, w).

        Args:
            name: `EUCLIDEAN`, `COSINE`, `MAHALANOBIS` (in standard deviations) or `KDE` (minus the
                log density, up to a constant).
        """
        measures: dict[ScoreName, Measure] = {
            ScoreName.EUCLIDEAN: lambda p: np.linalg.norm(p - self.mean, axis=-1),
            ScoreName.COSINE: lambda p: 1 - p @ (self.mean / np.linalg.norm(self.mean)),
            ScoreName.MAHALANOBIS: self._mahalanobis,
            ScoreName.KDE: self._minus_log_density,
        }
        measure = measures[name]
        return lambda patches: measure(np.moveaxis(patches, 1, -1))[:, None].astype(np.float32)

    def _mahalanobis(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        away = patches - self.mean
        squared = ((away @ self.precision) * away).sum(-1)
        distance: NDArray[np.float32] = np.sqrt(np.maximum(squared / len(self.mean), 0))
        return distance

    def _minus_log_density(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        likeness = CONCENTRATION * (patches @ self.sample.T - 1)
        density: NDArray[np.float32] = -logsumexp(likeness, axis=-1)
        return density
