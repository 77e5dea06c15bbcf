"""What the anatomy network learns: the structures in synthetic scans of any contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from BrainSSLAnomalyLib.network.anatomy import SPACING_MM, Structure, anatomy_network
from torch import Tensor, nn
from torch.nn import functional

from .synthesis.archive import LabelArchive
from .synthesis.generator import GeneratorSettings, ScanGenerator

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


@dataclass(frozen=True)
class AnatomySettings:
    """What is drawn to learn from.

    Attributes:
        shape: (k, j, i) voxels of 2 mm, multiples of 16.
        held_out: last maps of the archive, kept for validation.
        validation_patients: drawn from the held-out maps, always the same.
    """

    shape: tuple[int, int, int] = (96, 112, 96)
    held_out: int = 4
    validation_patients: int = 8


class AnatomyTask:
    """Every contrast of a synthetic patient is a sample of its own."""

    def __init__(self, archive: LabelArchive, settings: AnatomySettings) -> None:
        self._archive, self._settings = archive, settings
        table = np.zeros(len(archive.codes), np.int64)
        for structure, codes in CODES.items():
            table[np.isin(archive.codes, codes)] = structure
        self._structure = torch.from_numpy(table)
        self._generators: dict[tuple[bool, torch.device], ScanGenerator] = {}

    def network(self) -> nn.Module:
        return anatomy_network()

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(n, 1, k, j, i) scans and (n, k, j, i) structures, n being patients times contrasts."""
        return self._drawn(batch, generator, held_out=False)

    def loss(self, network: Callable[[Tensor], Tensor], batch: Any) -> Mapping[str, Tensor]:
        """Cross-entropy, and soft Dice averaged over the structures present."""
        scans, truth = batch
        logits = network(scans).float()
        every = (..., slice(None, None, 2), slice(None, None, 2), slice(None, None, 2))  # overlap needs no more, and costs an eighth
        return {"cross entropy": functional.cross_entropy(logits, truth), "Dice": 1 - soft_dice(logits[every], truth[every])}

    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Dice of brain, white matter, cortex, ventricles and deep grey matter on held-out label maps."""
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
            scans, truth = self._drawn(1, generator, held_out=True)
            for scan, known in zip(scans, truth, strict=True):
                found = network(scan[None]).argmax(1)[0]
                for name, members in groups.items():
                    wanted = torch.tensor(list(members), device=device)
                    a, b = torch.isin(found, wanted), torch.isin(known, wanted)
                    scores[name].append(float(2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1)))
        return {name: float(np.median(values)) for name, values in scores.items()}

    def _drawn(self, batch: int, generator: torch.Generator, *, held_out: bool) -> tuple[Tensor, Tensor]:
        key = (held_out, generator.device)
        if key not in self._generators:
            count, kept = len(self._archive.maps), self._settings.held_out
            maps = range(count - kept, count) if held_out else range(count - kept)
            settings = GeneratorSettings(self._settings.shape, SPACING_MM)
            self._generators[key] = ScanGenerator(self._archive, settings, maps, generator.device)
        sample = self._generators[key](batch, generator)
        truth = self._structure.to(generator.device)[sample.labels]
        count = sample.images.shape[1]
        return sample.images.flatten(0, 1)[:, None].clamp(max=6), truth.repeat_interleave(count, 0)


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
