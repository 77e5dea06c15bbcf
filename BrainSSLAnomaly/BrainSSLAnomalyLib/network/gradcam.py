"""What a network's judgement rests on: Grad-CAM and HiResCAM of a finding's own score, and the transformer's attention.

MONAI's Grad-CAM (Selvaraju et al., ICCV 2017) is asked about one number: the mean anomaly logit of the voxels of a finding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from monai.visualize import GradCAM
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..core.settings import ExplanationMethod as Method
from ..core.settings import ExplanationStage as Stage
from .hybrid import HybridNetwork

_MODULE = {Stage.CONVOLUTION: "encoder", Stage.TRANSFORMER: "context", Stage.DECODER: "decoder"}
"""Name, or its start, of the module whose features are asked."""


class HiResCAM(GradCAM):
    """Gradients weigh every place on its own (Draelos and Carin, arXiv:2011.08891, 2020)."""

    def compute_map(
        self,
        x: Any,
        class_idx: Any = None,
        retain_graph: Any = False,
        layer_idx: Any = -1,
        **kwargs: Any,
    ) -> Any:  # type: ignore[override]
        """(b, 1, h, w)."""
        _, features, gradients = self.nn_module(
            x, class_idx=class_idx, retain_graph=retain_graph, **kwargs
        )
        return functional.relu((features[layer_idx] * gradients[layer_idx]).sum(1, keepdim=True))


class _Score(nn.Module):
    """Slices → (b, 1): mean anomaly logit of what is asked about."""

    def __init__(self, network: HybridNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, present: Tensor, weight: Tensor) -> Tensor:
        logit = self.network(images, present).anomaly
        return ((logit * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6))[
            :, None
        ]


def explain(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    asked: NDArray,
    *,
    axis: int = 0,
    stage: Stage = Stage.DECODER,
    method: Method = Method.GRADCAM,
    batch: int = 8,
    progress: Callable[[float], None] = lambda _: None,
) -> NDArray[np.float32]:
    """Where the network looked for what it says about some voxels.

    Args:
        network: with two spatial dimensions.
        images: (m, k, j, i) normalised, all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        asked: (k, j, i) bool or weights: the finding; slices without it are left out.
        axis: across which slices are taken.
        progress: told the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32, 0 to 1, 1 being the strongest place in the whole volume.
    """
    device = next(network.parameters()).device
    own = copy.deepcopy(network).eval()  # hooks stay with the copy
    layer = f"network.{_MODULE[stage]}" + (
        ""
        if stage is Stage.TRANSFORMER
        else f".{len(own.settings.features) - (1 if stage is Stage.CONVOLUTION else 2)}"
    )
    wanted = GradCAM if method is Method.GRADCAM else HiResCAM
    cam = wanted(_Score(own), layer, postprocessing=lambda x: x)
    volume = torch.from_numpy(np.ascontiguousarray(images)).movedim(axis + 1, 0)
    weight = torch.from_numpy(np.ascontiguousarray(asked, np.float32)).movedim(axis, 0)[:, None]
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
    heated = out.movedim(0, axis)
    return (heated / heated.max().clamp(min=1e-12)).numpy()


def attention(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    asked: NDArray,
    *,
    layer: int = -1,
) -> NDArray[np.float32]:
    """Which patches of one slice the patches of a finding attend to.

    Args:
        images: (m, j, i) one slice, all `CHANNELS`.
        asked: (j, i) bool or weights.
        layer: of the transformer.

    Returns:
        (j, i) float32, summing to 1 over the patches: mean over heads and over the asked patches.
    """
    own = copy.deepcopy(network).eval()
    heads: Any = own.transformer[layer].attn
    heads.save_attn = True
    device = next(own.parameters()).device
    j, i = images.shape[-2:]
    more = (0, -i % own.multiple, 0, -j % own.multiple)
    slices = functional.pad(torch.from_numpy(np.ascontiguousarray(images))[None].float(), more).to(
        device
    )
    weight = functional.pad(
        torch.from_numpy(np.ascontiguousarray(asked, np.float32))[None, None], more
    ).to(device)
    with torch.inference_mode():
        own(slices, torch.from_numpy(np.asarray(present, np.float32))[None].to(device))
        share = functional.avg_pool2d(weight, own.multiple).flatten()
        grid = (share / share.sum().clamp(min=1e-6)) @ heads.att_mat[0].mean(
            0
        )  # asking patch, asked patch
        fine = functional.interpolate(
            grid.reshape(1, 1, *(n // own.multiple for n in slices.shape[-2:])),
            scale_factor=float(own.multiple),
            mode="bilinear",
        )
    return fine[0, 0, :j, :i].cpu().numpy()
