"""Explanations: Grad-CAM and HiResCAM of a finding's own score, and the transformer's attention.

The target of MONAI's Grad-CAM (Selvaraju et al., ICCV 2017) is one number: the mean anomaly logit
of the voxels of a finding.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from monai.visualize import GradCAM
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..core.progress import FractionCallback, ignore_fraction
from ..core.settings import ExplanationMethod as Method
from ..core.settings import ExplanationStage as Stage
from .hybrid import HybridNetwork

_MODULE = {Stage.CONVOLUTION: "encoder", Stage.TRANSFORMER: "context", Stage.DECODER: "decoder"}
"""Name, or its start, of the module whose features are used."""


class HiResCAM(GradCAM):
    """Weigh every place by its own gradient (Draelos and Carin, arXiv:2011.08891, 2020)."""

    def compute_map(  # type: ignore[override]  # as that of MONAI's GradCAM
        self,
        x: Any,
        class_idx: Any = None,
        retain_graph: Any = False,
        layer_idx: Any = -1,
        **kwargs: Any,
    ) -> Any:
        """Return the map, (b, 1, h, w)."""
        _, features, gradients = self.nn_module(
            x, class_idx=class_idx, retain_graph=retain_graph, **kwargs
        )
        return functional.relu((features[layer_idx] * gradients[layer_idx]).sum(1, keepdim=True))


class _MeanLogit(nn.Module):
    """Map slices to (b, 1): the mean anomaly logit of the target."""

    def __init__(self, network: HybridNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, present: Tensor, weight: Tensor) -> Tensor:
        logit: Tensor = self.network(images, present).anomaly
        weighted = (logit * weight).flatten(1).sum(1)
        return (weighted / weight.flatten(1).sum(1).clamp(min=1e-6))[:, None]


def _layer_name(network: HybridNetwork, stage: Stage) -> str:
    stages = len(network.settings.features)
    if stage is Stage.TRANSFORMER:
        return f"network.{_MODULE[stage]}"
    last = stages - 1 if stage is Stage.CONVOLUTION else stages - 2
    return f"network.{_MODULE[stage]}.{last}"


def class_activation_map(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    target: NDArray,
    *,
    axis: int = 0,
    stage: Stage = Stage.DECODER,
    method: Method = Method.GRADCAM,
    batch: int = 8,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return the class activation map of the anomaly logit of some voxels.

    Args:
        network: with two spatial dimensions.
        images: (m, k, j, i) normalised, all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        target: (k, j, i) bool or weights, e.g. a finding; slices without it are left out.
        axis: across which slices are taken.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        batch: slices at once.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32, 0 to 1, 1 being the strongest place in the whole volume.
    """
    device = next(network.parameters()).device
    own = copy.deepcopy(network).eval()  # hooks stay with the copy
    camera = GradCAM if method is Method.GRADCAM else HiResCAM
    cam = camera(_MeanLogit(own), _layer_name(own, stage), postprocessing=lambda x: x)
    volume = torch.from_numpy(np.ascontiguousarray(images)).movedim(axis + 1, 0)
    weight = torch.from_numpy(np.ascontiguousarray(target, np.float32)).movedim(axis, 0)[:, None]
    there = torch.from_numpy(np.asarray(present, np.float32)).to(device)
    out = torch.zeros_like(weight[:, 0])
    chosen = torch.nonzero(weight.flatten(1).any(1)).flatten()
    j, i = volume.shape[-2:]
    more = (0, -i % own.multiple, 0, -j % own.multiple)
    for first in range(0, len(chosen), batch):
        some = chosen[first : first + batch]
        slices, about = (functional.pad(t[some], more).to(device) for t in (volume, weight))
        heat = cam(slices, class_idx=0, present=there.expand(len(some), -1), weight=about)
        out[some] = heat[:, 0, :j, :i].detach().float().cpu()
        progress(min(1.0, (first + batch) / len(chosen)))
    volume_map = out.movedim(0, axis)
    normalised: NDArray[np.float32] = (volume_map / volume_map.max().clamp(min=1e-12)).numpy()
    return normalised


def attention_map(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    target: NDArray,
    *,
    layer: int = -1,
) -> NDArray[np.float32]:
    """Return which patches of one slice the patches of a target attend to.

    Args:
        network: with two spatial dimensions.
        images: (m, j, i) one slice, all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        target: (j, i) bool or weights.
        layer: of the transformer.

    Returns:
        (j, i) float32, summing to 1 over the patches: mean over heads and patches of the target.
    """
    own = copy.deepcopy(network).eval()
    heads: Any = own.transformer[layer].attn
    heads.save_attn = True
    device = next(own.parameters()).device
    j, i = images.shape[-2:]
    margin = (0, -i % own.multiple, 0, -j % own.multiple)

    def padded(array: NDArray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32))
        return functional.pad(tensor[None], margin).to(device)

    slices, weight = padded(images), padded(np.asarray(target)[None])
    there = torch.from_numpy(np.asarray(present, np.float32))[None].to(device)
    with torch.inference_mode():
        own(slices, there)
        share = functional.avg_pool2d(weight, own.multiple).flatten()
        weights = heads.att_mat[0].mean(0)  # (query patch, key patch)
        attended = (share / share.sum().clamp(min=1e-6)) @ weights
        grid = attended.reshape(1, 1, *(n // own.multiple for n in slices.shape[-2:]))
        scale = float(own.multiple)
        fine = functional.interpolate(grid, scale_factor=scale, mode="bilinear")
    shares: NDArray[np.float32] = fine[0, 0, :j, :i].cpu().numpy()
    return shares
