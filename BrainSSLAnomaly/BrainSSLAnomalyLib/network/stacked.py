"""The anomaly network as MONAI's tools take it: one tensor in, one out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .channels import CHANNELS
from .hybrid import HybridNetwork
from .model import load_hybrid_network


class StackedNetwork(nn.Module):
    """Adapt the network to MONAI's tools.

    Args:
        network: the hybrid; the shipped one by default.
    """

    def __init__(self, network: HybridNetwork | None = None) -> None:
        super().__init__()
        self.network = network or load_hybrid_network()

    def forward(self, stacked: Tensor) -> Tensor:
        """Return reconstruction, log variance and anomaly logit, (b, 2m + 1, j, i).

        Args:
            stacked: (b, 2m, j, i), scans and where each modality is there (1 or 0).
        """
        m = len(CHANNELS)
        present = (stacked[:, m:].flatten(2).mean(2) > 0.5).to(stacked.dtype)
        out = self.network(stacked[:, :m], present)
        return torch.cat([out.reconstruction, out.log_variance, out.anomaly], 1)
