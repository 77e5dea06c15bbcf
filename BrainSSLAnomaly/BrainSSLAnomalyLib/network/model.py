"""The anomaly model that ships: the hybrid network and its embeddings of healthy patches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..core.settings import Device, NetworkSize
from .bundle import load_arrays, read_metadata
from .device import runs_on_gpu
from .engine import SliceEngine
from .feature_density import HealthyPatches

if TYPE_CHECKING:
    from .hybrid import HybridNetwork

BUNDLE = "Model"
PATCHES = ("models", "healthy_patches.safetensors")
PATCHES_DIGEST = "healthy_patches_sha256"


@dataclass(frozen=True)
class Model:
    """Hold the network and what belongs to it.

    Attributes:
        engine: runs the network.
        healthy_patches: embeddings of healthy patches.
        version: of the bundle.
    """

    engine: SliceEngine
    healthy_patches: HealthyPatches
    version: str


@lru_cache(maxsize=2)
def load_model(
    device: Device = Device.AUTO,
    *,
    size: NetworkSize = NetworkSize.FULL,
    threads: int = 0,
    bundle: str = BUNDLE,
) -> Model:
    """Load the shipped model, once for the same arguments.

    Args:
        device: where it runs.
        size: the full network, or the light one (always on the processor).
        threads: of the processor; all that there are if 0.
        bundle: name of the folder in ``Resources``.

    Raises:
        DamagedModel: the installation is incomplete, or a file is not that of the bundle.
        BadSettings: no such device.
    """
    metadata = read_metadata(bundle)
    patches = HealthyPatches(**load_arrays(bundle, PATCHES, PATCHES_DIGEST))
    return Model(_load_engine(device, size, threads, bundle), patches, metadata["version"])


def _load_engine(device: Device, size: NetworkSize, threads: int, bundle: str) -> SliceEngine:
    if size is NetworkSize.FULL and runs_on_gpu(device):
        from .torch_engine import TorchEngine

        return TorchEngine(load_hybrid_network(bundle).to("cuda"))
    from .onnx_engine import LIGHT_GRAPH, PREDICT_GRAPH, OnnxEngine

    stages = len(read_metadata(bundle)["network_settings"]["features"])
    graph = LIGHT_GRAPH if size is NetworkSize.LIGHT else PREDICT_GRAPH
    return OnnxEngine(bundle, 2 ** (stages - 1), threads=threads, graph=graph)


def load_hybrid_network(bundle: str = BUNDLE) -> HybridNetwork:
    """Return the network of a bundle for PyTorch, in evaluation mode on the processor.

    Raises:
        DamagedModel: the installation is incomplete, or a file is not that of the bundle.
    """
    import torch

    from .bundle import load_weights
    from .hybrid import HybridNetwork, HybridSettings

    size: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in read_metadata(bundle)["network_settings"].items()
    }
    network = HybridNetwork(HybridSettings(**size))
    load_weights(network, bundle)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
