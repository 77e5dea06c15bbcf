"""The anomaly model that ships: the hybrid network, and what its embeddings of healthy people look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import BadSettings
from ..core.settings import Device
from .bundle import load_tensors, load_weights, metadata
from .hybrid import CHANNELS, HybridNetwork, HybridSettings

BUNDLE = "Model"
PATCHES = ("models", "healthy_patches.safetensors")


@dataclass(frozen=True)
class Model:
    """Ready to look.

    Attributes:
        network: in evaluation mode, on its device.
        patches: ``mean`` (e,), ``precision`` (e, e), ``sample`` (n, e) of healthy patches' embeddings.
        version: of the bundle.
    """

    network: HybridNetwork
    patches: dict[str, Tensor]
    version: str


def load_model(device: Device = Device.AUTO, bundle: str = BUNDLE) -> Model:
    """The shipped model.

    Raises:
        FileNotFoundError: the installation is incomplete.
        DamagedModel: a file is not that of the bundle.
        BadSettings: no such device.
    """
    about, where = metadata(bundle), torch_device(device)
    size: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in about["network_settings"].items()
    }
    network = HybridNetwork(HybridSettings(**size))
    load_weights(network, bundle)
    network = network.to(where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    patches = {
        name: values.to(where)
        for name, values in load_tensors(bundle, PATCHES, "healthy_patches_sha256").items()
    }
    return Model(network, patches, about["version"])


def torch_device(device: Device) -> torch.device:
    """Where networks run: a GPU where there is one, unless told otherwise.

    Raises:
        BadSettings: a GPU is wanted where PyTorch finds none.
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
    """The network as MONAI's tools want it: one tensor in, one out.

    Args:
        network: the hybrid; the shipped one by default.
    """

    def __init__(self, network: HybridNetwork | None = None) -> None:
        super().__init__()
        self.network = network or load_model(Device.CPU).network

    def forward(self, stacked: Tensor) -> Tensor:
        """(b, 2m, j, i) scans and where each modality is there (1 or 0) → (b, 2m + 1, j, i) reconstruction, log variance, anomaly logit."""
        m = len(CHANNELS)
        out = self.network(
            stacked[:, :m], (stacked[:, m:].flatten(2).mean(2) > 0.5).to(stacked.dtype)
        )
        return torch.cat([out.reconstruction, out.log_variance, out.anomaly], 1)
