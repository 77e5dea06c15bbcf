"""Patches far from healthy ones have large distances."""

from __future__ import annotations

import pytest
from BrainSSLAnomalyLib.core.settings import ScoreName
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network.feature_density import HealthyPatches


def test_densities_rise_with_the_distance_from_healthy_patches():
    generator = torch.Generator().manual_seed(0)
    middle = torch.nn.functional.normalize(torch.ones(8), dim=0)
    healthy = torch.nn.functional.normalize(
        middle + 0.1 * torch.randn((200, 8), generator=generator), dim=1
    )
    precision = torch.linalg.inv(torch.cov(healthy.T) + 1e-4 * torch.eye(8))
    patches = HealthyPatches(healthy.mean(0), precision, healthy[:50])
    like, unlike = middle.reshape(1, 8, 1, 1), -middle.reshape(1, 8, 1, 1)
    for name in (ScoreName.EUCLIDEAN, ScoreName.COSINE, ScoreName.MAHALANOBIS, ScoreName.KDE):
        near, far = (patches.distance(name)(p) for p in (like, unlike))
        assert near.shape == (1, 1, 1, 1) and float(near) < float(far)
    assert float(patches.distance(ScoreName.COSINE)(unlike)) == pytest.approx(2, abs=0.01)
