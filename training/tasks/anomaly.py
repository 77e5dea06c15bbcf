"""The task of the hybrid network: mark and restore synthetic anomalies.

The pretext tasks are learned beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from BrainSSLAnomalyLib.core.anatomy import INTRACRANIAL
from BrainSSLAnomalyLib.network.hybrid import HybridNetwork, HybridSettings
from torch import Tensor, nn
from torch.nn import functional

from ..data.heads import HealthyHeads
from ..data.label_archive import LabelArchive
from ..pretext.contrastive import Queue, nt_xent
from ..pretext.masked import mask_blocks
from ..pretext.rotation import TURNS, rotate
from ..pretext.shuffle import ORDERS, shuffle_quarters
from ..synthesis.noise import normal
from .slices import IGNORED, Batch, SliceSampler, SliceSettings

NEAR, FAR, ILL_SHARE = 0.3, 0.8, 0.1
"""Cosine distances of healthy and of anomalous patches from the healthy mean, and the share of a
patch that makes it anomalous.
"""

SLOW = 0.99
"""Decay of MoCo's slow copy."""


@dataclass(frozen=True)
class AnomalySettings:
    """What is drawn, and how much each part of the loss counts; a weight of 0 switches a task off.

    Attributes:
        network: size of the network.
        slices: what is drawn.
        pretext_slices: of a batch, on which rotation, order and contrastive tasks are done.
        weights: of each part of the loss.
    """

    network: HybridSettings = field(default_factory=HybridSettings)
    slices: SliceSettings = field(default_factory=SliceSettings)
    pretext_slices: int = 4
    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "reconstruction": 1.0,
            "structure": 0.2,
            "uncertainty": 0.05,
            "anomaly": 1.0,
            "tissues": 0.1,
            "compactness": 0.1,
            "masked": 0.5,
            "contrastive": 0.02,
            "momentum": 0.0,
            "rotation": 0.02,
            "order": 0.02,
        }
    )


class Learner(nn.Module):
    """The network with the parts that only training needs."""

    def __init__(self, settings: AnomalySettings) -> None:
        """Create the network and the heads of the pretext tasks."""
        super().__init__()
        self.settings = settings
        self.network = HybridNetwork(settings.network)
        self.turns = nn.Linear(settings.network.embedding, TURNS)
        self.orders = nn.Linear(settings.network.embedding, len(ORDERS))
        self.tissues = nn.Conv2d(settings.network.features[0], len(INTRACRANIAL), 1)
        if settings.weights.get("momentum", 0):
            self.queue = Queue(settings.network.embedding)
            self.slow = copy.deepcopy(self.network).requires_grad_(False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return every part of the loss that counts, weighted."""
        weights, generator = (
            self.settings.weights,
            torch.Generator(batch.healthy.device).manual_seed(batch.seed),
        )
        shown, empty = (
            mask_blocks(batch.changed, generator)
            if weights.get("masked", 0)
            else (batch.changed, torch.zeros_like(batch.inside))
        )
        out = self.network(shown, batch.present)
        there = batch.present[:, :, None, None] * batch.inside
        error = (out.reconstruction.float() - batch.healthy) * there
        parts = {
            "reconstruction": error.abs().sum() / there.sum().clamp(min=1),
            "masked": (error.abs() * empty).sum() / (there * empty).sum().clamp(min=1),
            "uncertainty": _uncertainty_loss(error.detach(), out.log_variance.float(), there),
            "anomaly": _segmentation_loss(out.anomaly.float(), batch.truth, batch.inside),
            "compactness": _compactness_loss(out.patches.float(), batch.truth, batch.inside),
        }
        if weights.get("tissues", 0):
            tissues = self.tissues(out.detail).float()
            parts["tissues"] = functional.cross_entropy(
                tissues, batch.tissues, ignore_index=IGNORED
            )
        if weights.get("structure", 0):
            parts["structure"] = _structure_loss(
                out.reconstruction.float() * there, batch.healthy * there
            )
        parts |= self._pretext(batch, out.scan, generator)
        return {
            name: weights[name] * value for name, value in parts.items() if weights.get(name, 0)
        }

    def _pretext(self, batch: Batch, scan: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        weights, few = self.settings.weights, slice(None, self.settings.pretext_slices)
        healthy, present = batch.healthy[few], batch.present[few]
        parts = {}
        if weights.get("rotation", 0):
            images, turns = rotate(healthy, generator)
            parts["rotation"] = functional.cross_entropy(
                self.turns(self.network.embedding(images, present)).float(), turns
            )
        if weights.get("order", 0):
            images, order = shuffle_quarters(healthy, generator)
            parts["order"] = functional.cross_entropy(
                self.orders(self.network.embedding(images, present)).float(), order
            )
        if weights.get("contrastive", 0) or weights.get("momentum", 0):
            other = healthy.flip(-1) * torch.exp(
                0.2 * normal((len(healthy), 1, 1, 1), generator)
            ) + 0.2 * normal(healthy.shape, generator)
            if weights.get("contrastive", 0):
                parts["contrastive"] = nt_xent(scan[few], self.network.embedding(other, present))
            if weights.get("momentum", 0):
                with torch.no_grad():
                    for slow, fast in zip(
                        self.slow.parameters(), self.network.parameters(), strict=True
                    ):
                        slow.lerp_(fast, 1 - SLOW)
                    key = self.slow.embedding(other, present)
                parts["momentum"] = self.queue.loss(scan[few], key)
        return parts


class AnomalyTask:
    """Mark and restore anomalies in slices of patients."""

    def __init__(
        self,
        archive: LabelArchive,
        settings: AnomalySettings,
        heads: HealthyHeads | None = None,
        elderly: HealthyHeads | None = None,
    ) -> None:
        """Prepare what is drawn from.

        Args:
            archive: label maps.
            settings: what is drawn and what counts.
            heads: real healthy heads, where the settings want some.
            elderly: T1 and FLAIR of old people, where the settings want some.
        """
        self._settings = settings
        self._sampler = SliceSampler(archive, settings.slices, heads, elderly)
        self._held_out = SliceSampler(archive, replace(settings.slices, reuse=1), held_out=True)

    def network(self) -> nn.Module:
        """Create the learner; its weights named ``network.…`` are what ships."""
        learner: nn.Module = Learner(self._settings)
        learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return learner

    def draw(self, batch: int, generator: torch.Generator) -> Batch:
        """Draw slices of patients."""
        return self._sampler(batch, generator)

    def state(self) -> dict[str, int]:
        """Return the state of the drawing, besides that of the generator."""
        return self._sampler.state()

    def restore(self, state: dict[str, int], device: torch.device) -> None:
        """Go on drawing where `state` was taken."""
        self._sampler.restore(state, device)

    def loss(self, network: Callable[[Any], Any], batch: Any) -> Mapping[str, Tensor]:
        """Return the weighted parts."""
        parts: Mapping[str, Tensor] = network(batch)
        return parts

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Measure on held-out label maps.

        Returns:
            Average precision of the anomaly logit and of the reconstruction error, and the error in
            healthy brain.
        """
        from sklearn.metrics import average_precision_score

        device = next(network.parameters()).device
        generator = torch.Generator(device).manual_seed(1)
        scores, errors, truths, healthy = [], [], [], []
        for _ in range(6):
            batch = self._held_out(1, generator)
            out = network.network(batch.changed, batch.present)  # type: ignore[operator]
            inside = batch.inside > 0
            error = (
                (out.reconstruction.float() - batch.changed).abs() * batch.present[:, :, None, None]
            ).amax(1, keepdim=True)
            truth = batch.truth > 0
            scores.append(out.anomaly.float()[inside])
            errors.append(error[inside])
            truths.append(truth[inside])
            healthy.append(error[inside & ~truth])
        truth_array = torch.cat(truths).cpu().numpy()
        figures = {"logit AP": scores, "error AP": errors}
        found = {
            name: float(average_precision_score(truth_array, torch.cat(v).cpu().numpy()))
            for name, v in figures.items()
        }
        return {**found, "healthy error": float(torch.cat(healthy).mean())}


def _segmentation_loss(logit: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Return cross-entropy in the brain, and Dice over the batch (MONAI's)."""
    from monai.losses import DiceLoss

    entropy = functional.binary_cross_entropy_with_logits(
        logit, truth, weight=inside, reduction="sum"
    ) / inside.sum().clamp(min=1)
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(
        logit.masked_fill(inside == 0, -20), truth
    )
    loss: Tensor = 2 * entropy + dice
    return loss


def _compactness_loss(patches: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Return how far patches are from where they should be.

    Healthy patches should be within a cosine distance of the healthy mean, anomalous ones beyond
    another. Without margins on both sides all embeddings, and the transformer, would collapse to
    one point (as in one-class training, Ruff et al., ICML 2018).
    """
    size = (patches.shape[2], patches.shape[3])
    brain, ill = (
        functional.adaptive_avg_pool2d(inside, size),
        functional.adaptive_avg_pool2d(truth, size),
    )
    healthy, anomalous = ((brain > 0.5) & (ill == 0))[:, 0], (ill > ILL_SHARE)[:, 0]
    each = patches.movedim(1, -1)
    if not bool(healthy.any()):
        return patches.sum() * 0
    away = 1 - each @ functional.normalize(each[healthy].mean(0), dim=0)
    loss = functional.relu(away[healthy] - NEAR).mean()
    return loss + functional.relu(FAR - away[anomalous]).mean() if bool(anomalous.any()) else loss


def _uncertainty_loss(error: Tensor, log_variance: Tensor, there: Tensor) -> Tensor:
    """Return the Gaussian negative log-likelihood of the error."""
    return (
        0.5 * (error.square() * torch.exp(-log_variance) + log_variance) * there
    ).sum() / there.sum().clamp(min=1)


def _structure_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 − SSIM (MONAI's), on intensities of about ±8."""
    from monai.losses import SSIMLoss

    with torch.autocast(found.device.type, enabled=False):  # half precision makes it infinite
        ssim = SSIMLoss(spatial_dims=found.ndim - 2, data_range=8.0, win_size=7)
        loss: Tensor = ssim(found, wanted)
    return loss


def parse_settings(data: Mapping[str, Any]) -> AnomalySettings:
    """Parse the ``data`` part of a config.

    Args:
        data: with ``network``, ``slices``, ``weights`` and ``pretext_slices``.
    """

    def plain(values: Mapping[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    parts = {
        "network": HybridSettings(**plain(data.get("network", {}))),
        "slices": SliceSettings(**plain(data.get("slices", {}))),
    }
    return AnomalySettings(**{**data, **parts})


def network_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of a learner's weights that ship."""
    return {k.removeprefix("network."): v for k, v in weights.items() if k.startswith("network.")}
