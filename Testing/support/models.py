"""A small network with random weights, for tests that need any network."""

from __future__ import annotations

import torch
from BrainSSLAnomalyLib.network.feature_density import HealthyPatches
from BrainSSLAnomalyLib.network.hybrid import HybridNetwork, HybridSettings
from BrainSSLAnomalyLib.network.model import Model


def tiny_model() -> Model:
    """Create a model with random weights, the same at every call."""
    torch.manual_seed(0)
    settings = HybridSettings(features=(8, 8, 16, 16, 32), layers=1, heads=4, embedding=128)
    patches = HealthyPatches(torch.ones(128), torch.eye(128), torch.ones(2, 128))
    return Model(HybridNetwork(settings).eval(), patches, "test")
