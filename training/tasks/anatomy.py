"""The task of the anatomy network: the structures in synthetic scans of any contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from BrainSSLAnomalyLib.core.anatomy import STRUCTURE_SPACING_MM, Structure
from BrainSSLAnomalyLib.network.anatomy_network import AnatomyNetwork
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..data.heads import HealthyHeads
from ..data.label_archive import LabelArchive
from ..synthesis.anomalies import make_change
from ..synthesis.generator import GeneratorSettings, ScanGenerator
from ..synthesis.heads import HeadSampler
from ..synthesis.noise import normal

S = Structure
CODES: dict[Structure, tuple[int, ...]] = {
    S.CSF: (24,),
    S.LEFT_WHITE: (2, 25, 28, 30),
    S.RIGHT_WHITE: (41, 57, 60, 62),
    S.LEFT_CORTEX: (3,),
    S.RIGHT_CORTEX: (42,),
    S.LEFT_STRIATUM: (11, 12, 26, 136, 137),
    S.RIGHT_STRIATUM: (50, 51, 58, 163, 164),
    S.LEFT_THALAMUS: (10, 13),
    S.RIGHT_THALAMUS: (49, 52),
    S.LEFT_HIPPOCAMPUS: (17, 18),
    S.RIGHT_HIPPOCAMPUS: (53, 54),
    S.LEFT_VENTRICLE: (4, 5, 31),
    S.RIGHT_VENTRICLE: (43, 44, 63),
    S.LEFT_CEREBELLUM: (7, 8),
    S.RIGHT_CEREBELLUM: (46, 47),
    S.MIDLINE_VENTRICLES: (14, 15, 72),
    S.BRAINSTEM: (16, 85),
}
"""FreeSurfer codes of each structure."""


LESIONS = make_change(spacing=STRUCTURE_SPACING_MM, healthy=0.5)
"""Half of the patients have anomalies; the truth beneath stays, since lesions are brain."""


@dataclass(frozen=True)
class AnatomySettings:
    """What is drawn to learn from.

    Attributes:
        shape: (k, j, i) voxels of 2 mm, multiples of 16.
        held_out: last maps of the archive, and last real heads, kept for validation.
        validation_patients: drawn from what is held out, always the same.
        contrasts: of three, how many scans of a synthetic patient are samples.
        rotation_degrees: standard deviation of the rotation about each axis.
        at_random: share of synthetic scans with any contrast at all.
        real_heads: whether to draw a real head beside each synthetic patient.
    """

    shape: tuple[int, int, int] = (96, 96, 96)
    held_out: int = 4
    validation_patients: int = 8
    contrasts: int = 3
    rotation_degrees: float = 15.0
    at_random: float = 0.5
    real_heads: bool = False

    @property
    def drawing(self) -> GeneratorSettings:
        """How heads are deformed and acquired."""
        return GeneratorSettings(
            self.shape,
            STRUCTURE_SPACING_MM,
            rotation_degrees=self.rotation_degrees,
            at_random=self.at_random,
        )


class AnatomyTask:
    """Segment structures; every scan of a synthetic patient, and every real head, is a sample."""

    def __init__(
        self, archive: LabelArchive, settings: AnatomySettings, heads: HealthyHeads | None = None
    ) -> None:
        """Prepare what is drawn from.

        Args:
            archive: label maps.
            settings: what is drawn.
            heads: real heads, if the settings want them.
        """
        self._archive, self._settings, self._heads = archive, settings, heads
        table = np.zeros(len(archive.codes), np.int64)
        for structure, codes in CODES.items():
            table[np.isin(archive.codes, codes)] = structure
        self._structure = torch.from_numpy(table)
        self._weights = torch.from_numpy(_measure_class_weights(archive, table))
        self._generators: dict[tuple[bool, torch.device], ScanGenerator] = {}
        self._samplers: dict[tuple[bool, torch.device], HeadSampler] = {}

    def network(self) -> nn.Module:
        """Create a network with random weights."""
        network: nn.Module = AnatomyNetwork()
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # a third faster
        return network

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, list[int]]:
        """Draw scans, structures, and which voxel of every eight is compared.

        Returns:
            (n, 1, k, j, i), (n, k, j, i), and a first index for each axis.
        """
        return *self._draw_scans(batch, generator, held_out=False), torch.randint(
            2, (3,), generator=generator, device=generator.device
        ).tolist()

    def loss(self, network: Callable[[Tensor], Tensor], batch: Any) -> Mapping[str, Tensor]:
        """Return cross-entropy, small structures counting more, and soft Dice.

        Dice is averaged over the structures present. Every eighth voxel is compared: as good, for a
        fraction of the time.
        """
        scans, truth, first = batch
        k, j, i = (slice(n, None, 2) for n in first)
        logits, truth = network(scans)[..., k, j, i].float(), truth[..., k, j, i]
        entropy = functional.cross_entropy(logits, truth, self._weights.to(logits.device))
        return {"cross entropy": entropy, "Dice": 1 - soft_dice(logits, truth)}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Measure Dice on held-out label maps.

        Returns:
            Of brain, white matter, cortex, ventricles and deep grey matter.
        """
        device = next(network.parameters()).device
        generator = torch.Generator(device).manual_seed(1)
        groups = {
            "brain": range(S.CSF, len(S)),
            "white": (S.LEFT_WHITE, S.RIGHT_WHITE),
            "cortex": (S.LEFT_CORTEX, S.RIGHT_CORTEX),
            "ventricles": (S.LEFT_VENTRICLE, S.RIGHT_VENTRICLE),
            "deep grey": (S.LEFT_STRIATUM, S.RIGHT_STRIATUM, S.LEFT_THALAMUS, S.RIGHT_THALAMUS),
        }
        scores: dict[str, list[float]] = {name: [] for name in groups}
        for _ in range(self._settings.validation_patients):
            scans, truth = self._draw_scans(1, generator, held_out=True)
            for scan, known in zip(scans, truth, strict=True):
                found = network(scan[None]).argmax(1)[0]
                for name, members in groups.items():
                    wanted = torch.tensor(list(members), device=device)
                    a, b = torch.isin(found, wanted), torch.isin(known, wanted)
                    scores[name].append(float(2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1)))
        return {name: float(np.median(values)) for name, values in scores.items()}

    def _draw_scans(
        self, batch: int, generator: torch.Generator, *, held_out: bool
    ) -> tuple[Tensor, Tensor]:
        scans, truth = self._draw_synthetic(batch, generator, held_out=held_out)
        if self._heads is not None:
            images, structures = self._draw_real(self._heads, batch, generator, held_out=held_out)
            scans, truth = torch.cat([scans, images]), torch.cat([truth, structures])
        # The median of the brain is unknown before the brain is found.
        return (scans * torch.exp(0.3 * normal((len(scans), 1, 1, 1, 1), generator))).clamp(
            max=6
        ), truth

    def _draw_synthetic(
        self, batch: int, generator: torch.Generator, *, held_out: bool
    ) -> tuple[Tensor, Tensor]:
        """Draw synthetic scans.

        Returns:
            (n, 1, k, j, i) and (n, k, j, i), n being patients times contrasts.
        """
        key = (held_out, generator.device)
        if key not in self._generators:
            maps = _split(len(self._archive.maps), self._settings.held_out, held_out=held_out)
            self._generators[key] = ScanGenerator(
                self._archive, self._settings.drawing, maps, generator.device
            )
        sample = self._generators[key](batch, generator, LESIONS)
        images = sample.images
        kept = torch.rand(images.shape[:2], generator=generator, device=generator.device).argsort(
            1
        )[:, : self._settings.contrasts]
        images = images[torch.arange(batch, device=generator.device)[:, None], kept]
        truth = self._structure.to(generator.device)[sample.labels]
        return images.flatten(0, 1)[:, None], truth.repeat_interleave(images.shape[1], 0)

    def _draw_real(
        self, heads: HealthyHeads, batch: int, generator: torch.Generator, *, held_out: bool
    ) -> tuple[Tensor, Tensor]:
        key = (held_out, generator.device)
        if key not in self._samplers:
            chosen = _split(len(heads.images), self._settings.held_out, held_out=held_out)
            self._samplers[key] = HeadSampler(
                heads, self._settings.drawing, chosen, generator.device
            )
        images, structures, *_ = self._samplers[key](batch, generator, LESIONS)
        return images, structures


def _measure_class_weights(archive: LabelArchive, table: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 1 / √(share of a structure).

    Without it the ventricles, 0.4 % of a head, are not learned in a thousand steps.
    """
    counts = sum(np.bincount(table[m].ravel(), minlength=len(Structure)) for m in archive.maps)
    share = np.maximum(counts / np.sum(counts), 1e-5)
    weights: NDArray[np.float32] = (share**-0.5 / np.sqrt(share).sum()).astype(np.float32)
    return weights


def _split(count: int, kept: int, *, held_out: bool) -> range:
    return range(count - kept, count) if held_out else range(count - kept)


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over the classes that are present, background among them, of 2 Σ p t / Σ (p + t).

    Args:
        logits: (n, c, k, j, i).
        truth: (n, k, j, i) int64.
    """
    known = functional.one_hot(truth, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    found = logits.softmax(1)
    overlap, total = (found * known).sum((0, 2, 3, 4)), (found + known).sum((0, 2, 3, 4))
    present = known.sum((0, 2, 3, 4)) > 0
    return (2 * overlap / total.clamp(min=1e-6))[present].mean()
