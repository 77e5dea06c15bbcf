"""What the anomaly network learns: to restore and to mark synthetic anomalies in synthetic healthy scans, and the pretext tasks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from BrainSSLAnomalyLib.anatomy import Tissue
from BrainSSLAnomalyLib.network.hybrid import CHANNELS, HybridNetwork, HybridSettings
from BrainSSLAnomalyLib.study import Modality
from torch import Tensor, nn
from torch.nn import functional

from .pretext.contrastive import Queue, nt_xent
from .pretext.masked import masked
from .pretext.rotation import TURNS, rotated
from .pretext.shuffle import ORDERS, shuffled
from .synthesis import anomalies
from .synthesis.archive import LabelArchive
from .synthesis.generator import GeneratorSettings, ScanGenerator
from .synthesis.noise import chance, normal, uniform

SLICES_MM = (55.0, 75.0, 60.0)
"""How far from the middle of the head slices are taken: along superior, anterior, right."""

MODALITIES = (Modality.T1, Modality.T2, Modality.FLAIR, Modality.PD)
SLOW = 0.99
"""Decay of MoCo's slow copy."""


@dataclass(frozen=True)
class AnomalySettings:
    """What is drawn, and how much each part of the loss counts; a weight of 0 switches a task off.

    Attributes:
        network: size of the network.
        crop: voxels a side of a slice.
        spacing: in mm.
        slab, every: voxels across a slab, and which of its slices are used.
        patients: slabs a batch, besides the trainer's batch.
        at_random: share of scans with any contrast at all.
        held_out: last label maps, for validation.
        without: kinds of anomaly never drawn.
        pretext_slices: of a batch, on which rotation, order and contrastive tasks are done.
        weights: of each part of the loss.
    """

    network: HybridSettings = field(default_factory=HybridSettings)
    crop: int = 160
    spacing: float = 1.0
    slab: int = 17
    every: int = 4
    patients: int = 4
    at_random: float = 0.4
    held_out: int = 3
    without: tuple[str, ...] = ()
    pretext_slices: int = 4
    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "reconstruction": 1.0,
            "structure": 0.2,
            "uncertainty": 0.05,
            "anomaly": 1.0,
            "compactness": 0.05,
            "masked": 0.5,
            "contrastive": 0.02,
            "momentum": 0.0,
            "rotation": 0.02,
            "order": 0.02,
        }
    )


class Batch(NamedTuple):
    """Slices, b of them, m modalities in the order of `CHANNELS`.

    Attributes:
        healthy, changed: (b, m, j, i), parenchyma with mean 0 and SD 1.
        anomalous: (b, m, j, i) bool, where each modality shows an anomaly.
        inside: (b, 1, j, i) float, the brain.
        present: (b, m) float, modalities that the network sees.
        seed: for what is drawn in the loss.
    """

    healthy: Tensor
    changed: Tensor
    anomalous: Tensor
    inside: Tensor
    present: Tensor
    seed: int

    @property
    def truth(self) -> Tensor:
        """(b, 1, j, i) float, anomalies that what is present shows."""
        return (self.anomalous * self.present[:, :, None, None]).amax(1, keepdim=True)


class Learner(nn.Module):
    """The network with what only training needs."""

    def __init__(self, settings: AnomalySettings) -> None:
        super().__init__()
        self.settings = settings
        self.network = HybridNetwork(settings.network)
        self.turns = nn.Linear(settings.network.embedding, TURNS)
        self.orders = nn.Linear(settings.network.embedding, len(ORDERS))
        if settings.weights.get("momentum", 0):
            self.queue = Queue(settings.network.embedding)
            self.slow = copy.deepcopy(self.network).requires_grad_(False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Every part of the loss that counts, weighted."""
        weights, generator = self.settings.weights, torch.Generator(batch.healthy.device).manual_seed(batch.seed)
        shown, empty = masked(batch.changed, generator) if weights.get("masked", 0) else (batch.changed, torch.zeros_like(batch.inside))
        out = self.network(shown, batch.present)
        there = batch.present[:, :, None, None] * batch.inside
        error = (out.reconstruction.float() - batch.healthy) * there
        parts = {
            "reconstruction": error.abs().sum() / there.sum().clamp(min=1),
            "masked": (error.abs() * empty).sum() / (there * empty).sum().clamp(min=1),
            "uncertainty": _nll(error.detach(), out.log_variance.float(), there),
            "anomaly": _marking(out.anomaly.float(), batch.truth, batch.inside),
            "compactness": (out.scan.float() - out.scan.float().mean(0)).square().sum(1).mean(),
        }
        if weights.get("structure", 0):
            parts["structure"] = _structure(out.reconstruction.float() * there, batch.healthy * there)
        parts |= self._pretext(batch, out.scan, generator)
        return {name: weights[name] * value for name, value in parts.items() if weights.get(name, 0)}

    def _pretext(self, batch: Batch, scan: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        weights, few = self.settings.weights, slice(None, self.settings.pretext_slices)
        healthy, present = batch.healthy[few], batch.present[few]
        parts = {}
        if weights.get("rotation", 0):
            images, turns = rotated(healthy, generator)
            parts["rotation"] = functional.cross_entropy(self.turns(self.network.embedding(images, present)).float(), turns)
        if weights.get("order", 0):
            images, order = shuffled(healthy, generator)
            parts["order"] = functional.cross_entropy(self.orders(self.network.embedding(images, present)).float(), order)
        if weights.get("contrastive", 0) or weights.get("momentum", 0):
            other = healthy.flip(-1) * torch.exp(0.2 * normal((len(healthy), 1, 1, 1), generator)) + 0.2 * normal(healthy.shape, generator)
            if weights.get("contrastive", 0):
                parts["contrastive"] = nt_xent(scan[few], self.network.embedding(other, present))
            if weights.get("momentum", 0):
                with torch.no_grad():
                    for slow, fast in zip(self.slow.parameters(), self.network.parameters(), strict=True):
                        slow.lerp_(fast, 1 - SLOW)
                    key = self.slow.embedding(other, present)
                parts["momentum"] = self.queue.loss(scan[few], key)
        return parts


class AnomalyTask:
    """Slices of synthetic patients in any orientation.

    Args:
        archive: label maps.
        settings: what is drawn.
    """

    def __init__(self, archive: LabelArchive, settings: AnomalySettings) -> None:
        self._archive, self._settings = archive, settings
        self._generators: dict[tuple[bool, int, torch.device], ScanGenerator] = {}

    def network(self) -> nn.Module:
        """The learner; its weights named ``network.…`` are what ships."""
        learner: nn.Module = Learner(self._settings)
        return learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def draw(self, batch: int, generator: torch.Generator) -> Batch:
        """Slices of new patients."""
        return self._drawn(batch, generator, held_out=False)

    def loss(self, network: Callable[[Any], Any], batch: Any) -> Mapping[str, Tensor]:
        """The weighted parts."""
        return network(batch)

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Average precision of the anomaly logit and of the reconstruction error, and error in healthy brain; held-out label maps."""
        from sklearn.metrics import average_precision_score

        device = next(network.parameters()).device
        generator = torch.Generator(device).manual_seed(1)
        scores, errors, truths, healthy = [], [], [], []
        for _ in range(6):
            batch = self._drawn(1, generator, held_out=True)
            out = network.network(batch.changed, batch.present)  # type: ignore[operator]
            inside = batch.inside > 0
            error = ((out.reconstruction.float() - batch.changed).abs() * batch.present[:, :, None, None]).amax(1, keepdim=True)
            truth = batch.truth > 0
            scores.append(out.anomaly.float()[inside])
            errors.append(error[inside])
            truths.append(truth[inside])
            healthy.append(error[inside & ~truth])
        truth_array = torch.cat(truths).cpu().numpy()
        figures = {"logit AP": scores, "error AP": errors}
        found = {name: float(average_precision_score(truth_array, torch.cat(v).cpu().numpy())) for name, v in figures.items()}
        return {**found, "healthy error": float(torch.cat(healthy).mean())}

    def _drawn(self, batch: int, generator: torch.Generator, *, held_out: bool) -> Batch:
        s = self._settings
        axis = (0, 0, 1, 2)[int(torch.randint(4, (1,), generator=generator, device=generator.device))]
        scans = self._generator(axis, generator.device, held_out=held_out)
        sample = scans(batch * s.patients, generator)
        slices = [self._slices(sample.images[n], sample, n, scans, axis, generator) for n in range(len(sample.images))]
        healthy, changed, anomalous, inside = (torch.cat(parts) for parts in zip(*slices, strict=True))
        count = len(healthy)
        present = chance((count, len(CHANNELS)), 0.55, generator).float()
        drawn = torch.tensor([float(m in MODALITIES) for m in CHANNELS], device=generator.device)
        present = present * drawn
        first = torch.randint(len(MODALITIES), (count,), generator=generator, device=generator.device)
        order = torch.tensor([CHANNELS.index(m) for m in MODALITIES], device=generator.device)
        present[torch.arange(count, device=generator.device), order[first]] = 1  # at least one
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        return Batch(healthy, changed, anomalous, inside, present, seed)

    def _generator(self, axis: int, device: torch.device, *, held_out: bool) -> ScanGenerator:
        key = (held_out, axis, device)
        if key not in self._generators:
            s, count = self._settings, len(self._archive.maps)
            shape = [s.crop, s.crop, s.crop]
            shape[axis] = s.slab
            offset = [0.0, 0.0, 0.0]
            offset[axis] = SLICES_MM[axis]
            settings = GeneratorSettings(
                (shape[0], shape[1], shape[2]), s.spacing, MODALITIES, rotation_degrees=10.0, offset_mm=(offset[0], offset[1], offset[2]),
                at_random=s.at_random, stripped=1.0,
            )  # fmt: skip
            chosen = range(count - s.held_out, count) if held_out else range(count - s.held_out)
            self._generators[key] = ScanGenerator(self._archive, settings, chosen, device)
        return self._generators[key]

    def _slices(
        self, images: Tensor, sample: Any, n: int, scans: ScanGenerator, axis: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Healthy, changed, anomalous and inside of one patient's slices, with all `CHANNELS`."""
        s = self._settings
        tissues, inside = scans.tissue_of_label[sample.labels[n]], sample.brain[n, 0] & (images.amax(0) > 0)
        parenchyma = inside & torch.isin(tissues, torch.tensor([Tissue.WHITE + 1, Tissue.CORTEX + 1], device=images.device))
        reference = parenchyma if int(parenchyma.sum()) > 200 else inside
        if bool(reference.any()):
            values = images[:, reference]
            images = (images - values.mean(1).reshape(-1, 1, 1, 1)) / values.std(1).clamp(min=1e-3).reshape(-1, 1, 1, 1)
        images = (images * inside).clamp(-8, 12)
        changed, anomalous = anomalies.add(anomalies.Brain(images, tissues, inside, MODALITIES, s.spacing), generator, without=s.without)
        at = torch.arange(s.every // 2, s.slab, s.every, device=images.device)

        def cut(volume: Tensor) -> Tensor:
            return volume.index_select(axis + 1, at).movedim(axis + 1, 0)

        def spread(volume: Tensor) -> Tensor:
            full = torch.zeros((len(at), len(CHANNELS), s.crop, s.crop), device=images.device, dtype=volume.dtype)
            full[:, [CHANNELS.index(m) for m in MODALITIES]] = cut(volume)
            return full

        grain = 0.1 * uniform((1,), 0, 1, generator) * normal(changed.shape, generator) * inside
        return spread(images), spread((changed + grain).clamp(-8, 12)), spread(anomalous), cut(inside[None].float())


def _marking(logit: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Cross-entropy in the brain, and Dice over the batch (MONAI's)."""
    from monai.losses import DiceLoss

    entropy = functional.binary_cross_entropy_with_logits(logit, truth, weight=inside, reduction="sum") / inside.sum().clamp(min=1)
    dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)(logit.masked_fill(inside == 0, -20), truth)
    return 2 * entropy + dice


def _nll(error: Tensor, log_variance: Tensor, there: Tensor) -> Tensor:
    """Gaussian negative log-likelihood of the error that there was."""
    return (0.5 * (error.square() * torch.exp(-log_variance) + log_variance) * there).sum() / there.sum().clamp(min=1)


def _structure(found: Tensor, wanted: Tensor) -> Tensor:
    """1 − SSIM (MONAI's), on intensities of about ±8."""
    from monai.losses import SSIMLoss

    with torch.autocast(found.device.type, enabled=False):  # half precision makes it infinite
        return SSIMLoss(spatial_dims=found.ndim - 2, data_range=8.0, win_size=7)(found, wanted)


def settings_from(data: Mapping[str, Any]) -> AnomalySettings:
    """Of the ``data`` and ``network`` parts of a config file."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "network"}
    network: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.get("network", {}).items()}
    return AnomalySettings(network=HybridSettings(**network), **values)


def shipped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a learner's weights those that ship."""
    return {k.removeprefix("network."): v for k, v in weights.items() if k.startswith("network.")}
