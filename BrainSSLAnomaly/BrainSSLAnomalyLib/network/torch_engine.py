"""The anomaly network by PyTorch: on a GPU, and in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.settings import ExplanationStage
from .engine import SliceOutput
from .hybrid import HybridNetwork


def stage_module(network: HybridNetwork, stage: ExplanationStage) -> nn.Module:
    """Return the module whose features are those of a stage."""
    modules: dict[ExplanationStage, nn.Module] = {
        ExplanationStage.CONVOLUTION: network.encoder[len(network.encoder) // 2],
        ExplanationStage.TRANSFORMER: network.context,
        ExplanationStage.DECODER: network.decoder[len(network.decoder) // 2 - 1],
    }
    return modules[stage]


class TorchEngine:
    """Run a network on its own device, in half precision on a GPU; see `SliceEngine`.

    Args:
        network: in evaluation mode, with two spatial dimensions.
    """

    def __init__(self, network: HybridNetwork) -> None:
        self.network = network
        self._device = next(network.parameters()).device

    @property
    def multiple(self) -> int:
        """Return the edge of a patch, in voxels."""
        return self.network.multiple

    def predict(self, slices: NDArray[np.float32], present: NDArray[np.float32]) -> SliceOutput:
        """Return the output of the network; see `SliceEngine`."""
        with torch.inference_mode(), self._half_precision():
            out = self.network(*self._inputs(slices, present))
        return SliceOutput(*map(_array, (out.reconstruction, out.anomaly, out.patches, out.scan)))

    def explain(
        self,
        slices: NDArray[np.float32],
        present: NDArray[np.float32],
        weight: NDArray[np.float32],
        stage: ExplanationStage,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return features and gradient; see `SliceEngine`."""
        images, there = self._inputs(slices, present)
        target = torch.from_numpy(np.ascontiguousarray(weight, np.float32)).to(self._device)
        with torch.enable_grad():
            features, gradient = features_and_gradient(self.network, images, there, target, stage)
        return _array(features), _array(gradient)

    def attention(
        self, slices: NDArray[np.float32], present: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the shares of attention; see `SliceEngine`."""
        with torch.inference_mode():
            return _array(attention_shares(self.network, *self._inputs(slices, present)))

    def _inputs(
        self, slices: NDArray[np.float32], present: NDArray[np.float32]
    ) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(slices, np.float32)).to(self._device)
        there = torch.from_numpy(np.asarray(present, np.float32)).to(self._device)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, there.expand(len(images), -1)

    @contextmanager
    def _half_precision(self) -> Iterator[None]:
        is_gpu = self._device.type == "cuda"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=is_gpu):
            yield


def features_and_gradient(
    network: HybridNetwork,
    images: Tensor,
    present: Tensor,
    weight: Tensor,
    stage: ExplanationStage,
) -> tuple[Tensor, Tensor]:
    """Return the features of a stage, and the gradient of the target's mean logit by them.

    Args:
        network: with two spatial dimensions.
        images: (b, m, j, i).
        present: (b, m).
        weight: (b, 1, j, i), of each voxel in the target.
        stage: of the network.
    """
    kept: list[Tensor] = []

    def cut(_module: nn.Module, _taken: Any, given: Tensor) -> Tensor:
        features = given.detach().requires_grad_()
        kept.append(features)
        return features

    handle = stage_module(network, stage).register_forward_hook(cut)
    try:
        logit = network(images, present).anomaly
    finally:
        handle.remove()
    weighted = (logit * weight).flatten(1).sum(1)
    mean = weighted / weight.flatten(1).sum(1).clamp(min=1e-6)
    (gradient,) = torch.autograd.grad(mean.sum(), kept[0])
    return kept[0].detach(), gradient


def attention_shares(network: HybridNetwork, images: Tensor, present: Tensor) -> Tensor:
    """Return the attention of the last layer, mean over heads, (b, patches, patches)."""
    heads: Any = network.transformer[-1].attn
    before = heads.save_attn
    heads.save_attn = True
    try:
        network.embedding(images, present)
        shares: Tensor = heads.att_mat.mean(1)
    finally:
        heads.save_attn, heads.att_mat = before, torch.Tensor()
    return shares


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
