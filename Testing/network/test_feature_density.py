"""Patches far from healthy ones have large distances."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.network.feature_density import HealthyPatches


def test_distances_rise_with_the_distance_from_healthy_patches():
    rng = np.random.default_rng(0)
    middle = np.ones(8) / np.sqrt(8)
    healthy = middle + 0.1 * rng.standard_normal((200, 8))
    healthy /= np.linalg.norm(healthy, axis=1, keepdims=True)
    precision = np.linalg.inv(np.cov(healthy.T) + 1e-4 * np.eye(8))
    patches = HealthyPatches(healthy.mean(0), precision, healthy[:50])
    like, unlike = middle.reshape(1, 8, 1, 1), -middle.reshape(1, 8, 1, 1)
    for name in (ScoreName.EUCLIDEAN, ScoreName.COSINE, ScoreName.MAHALANOBIS, ScoreName.KDE):
        near, far = (patches.distance(name)(p) for p in (like, unlike))
        assert near.shape == (1, 1, 1, 1) and near.item() < far.item()
    assert patches.distance(ScoreName.COSINE)(unlike).item() == pytest.approx(2, abs=0.01)
