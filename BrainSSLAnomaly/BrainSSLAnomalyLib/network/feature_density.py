"""Feature density: how far the embedding of a patch is from those of healthy people.

A network gives each patch of 16 mm a unit-length embedding. Healthy ones are described by their
mean, a Gaussian with shrunken covariance (Ledoit and Wolf, Journal of Multivariate Analysis 88
(2004) 365), and a sample for a kernel density. It stands beside the network since it runs on its
device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.settings import ScoreName

CONCENTRATION = 20.0
"""Of the von Mises–Fisher kernel, which is a Gaussian kernel on the sphere."""


@dataclass(frozen=True)
class HealthyPatches:
    """Hold embeddings of healthy patches.

    Attributes:
        mean: (e,).
        precision: (e, e), inverse of the shrunken covariance.
        sample: (n, e), unit length.
    """

    mean: Tensor
    precision: Tensor
    sample: Tensor

    def to(self, device: torch.device) -> HealthyPatches:
        """Return the same on a device."""
        return HealthyPatches(
            self.mean.to(device), self.precision.to(device), self.sample.to(device)
        )

    def distance(self, name: ScoreName) -> Callable[[Tensor], Tensor]:
        """Return a function from embeddings (b, e, h, w) to distances (b, 1, h, w).

        Args:
            name: `EUCLIDEAN`, `COSINE`, `MAHALANOBIS` (in standard deviations) or `KDE` (minus the
                log density, up to a constant).
        """
        measures: dict[ScoreName, Callable[[Tensor], Tensor]] = {
            ScoreName.EUCLIDEAN: lambda p: (p - self.mean).norm(dim=-1),
            ScoreName.COSINE: lambda p: 1 - p @ (self.mean / self.mean.norm()),
            ScoreName.MAHALANOBIS: self._mahalanobis,
            ScoreName.KDE: lambda p: -torch.logsumexp(CONCENTRATION * (p @ self.sample.T - 1), -1),
        }
        measure = measures[name]
        return lambda patches: measure(patches.movedim(1, -1))[:, None]

    def _mahalanobis(self, patches: Tensor) -> Tensor:
        away = patches - self.mean
        squared = ((away @ self.precision) * away).sum(-1)
        return (squared / len(self.mean)).clamp(min=0).sqrt()
