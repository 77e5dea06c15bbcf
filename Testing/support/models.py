"""A small network with random weights, for tests that need any network."""

from __future__ import annotations

import numpy as np
import torch
from BrainSSLAnomalyLib.network.feature_density import HealthyPatches
from BrainSSLAnomalyLib.network.hybrid import HybridNetwork, HybridSettings
from BrainSSLAnomalyLib.network.model import Model
from BrainSSLAnomalyLib.network.torch_engine import TorchEngine


def tiny_model() -> Model:
    """Create a model with random weights, the same at every call."""
    torch.manual_seed(0)
    settings = HybridSettings(features=(8, 8, 16, 16, 32), layers=1, heads=4, embedding=128)
    network = HybridNetwork(settings).eval()
    with torch.no_grad():
        network.out.weight[-1].abs_()  # so that features speak for an anomaly
    patches = HealthyPatches(
        np.ones(128, np.float32), np.eye(128, dtype=np.float32), np.ones((2, 128), np.float32)
    )
    return Model(TorchEngine(network), patches, "test")
