"""The anomaly model that ships: the hybrid network and its embeddings of healthy patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import BadSettings
from ..core.settings import Device
from .bundle import load_tensors, load_weights, read_metadata
from .feature_density import HealthyPatches
from .hybrid import CHANNELS, HybridNetwork, HybridSettings

BUNDLE = "Model"
PATCHES = ("models", "healthy_patches.safetensors")


@dataclass(frozen=True)
class Model:
    """Hold the network and what belongs to it.

    Attributes:
        network: in evaluation mode, on its device.
        healthy_patches: embeddings of healthy patches, on the same device.
        version: of the bundle.
    """

    network: HybridNetwork
    healthy_patches: HealthyPatches
    version: str


def load_model(device: Device = Device.AUTO, bundle: str = BUNDLE) -> Model:
    """Load the shipped model.

    Raises:
        FileNotFoundError: the installation is incomplete.
        DamagedModel: a file is not that of the bundle.
        BadSettings: no such device.
    """
    metadata, where = read_metadata(bundle), torch_device(device)
    size: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in metadata["network_settings"].items()
    }
    network = HybridNetwork(HybridSettings(**size))
    load_weights(network, bundle)
    network = network.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    tensors = load_tensors(bundle, PATCHES, "healthy_patches_sha256")
    return Model(network, HealthyPatches(**tensors).to(where), metadata["version"])


def torch_device(device: Device) -> torch.device:
    """Return the device on which networks run: a GPU where there is one, unless chosen otherwise.

    Raises:
        BadSettings: a GPU is chosen where PyTorch finds none.
    """
    if device is Device.AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device is Device.CUDA and not torch.cuda.is_available():
        raise BadSettings(
            "PyTorch finds no GPU that it can use",
            "leave --device out, or install PyTorch for CUDA",
        )
    return torch.device(device.value)


class StackedNetwork(nn.Module):
    """Adapt the network to MONAI's tools: one tensor in, one out.

    Args:
        network: the hybrid; the shipped one by default.
    """

    def __init__(self, network: HybridNetwork | None = None) -> None:
        super().__init__()
        self.network = network or load_model(Device.CPU).network

    def forward(self, stacked: Tensor) -> Tensor:
        """Return reconstruction, log variance and anomaly logit, (b, 2m + 1, j, i).

        Args:
            stacked: (b, 2m, j, i), scans and where each modality is there (1 or 0).
        """
        m = len(CHANNELS)
        present = (stacked[:, m:].flatten(2).mean(2) > 0.5).to(stacked.dtype)
        out = self.network(stacked[:, :m], present)
        return torch.cat([out.reconstruction, out.log_variance, out.anomaly], 1)
