"""How bright each tissue is in each contrast: on the average scanner, and on some scanner."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from BrainSSLAnomalyLib.core.anatomy import INTRACRANIAL, Tissue
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor

from .noise import normal, uniform

TYPICAL: dict[Modality, tuple[float, ...]] = {
    # white, cortex, striatum, thalamus, ventricle, csf, brainstem, cerebellar white, cerebellar cortex, bone, soft
    Modality.T1: (1.00, 0.68, 0.76, 0.88, 0.22, 0.24, 0.92, 0.95, 0.66, 0.25, 0.80),
    Modality.T2: (0.58, 0.80, 0.68, 0.62, 1.70, 1.50, 0.62, 0.58, 0.78, 0.20, 0.70),
    Modality.FLAIR: (0.80, 0.98, 0.94, 0.86, 0.22, 0.30, 0.84, 0.80, 0.93, 0.18, 0.75),
    Modality.T1C: (0.98, 0.70, 0.77, 0.88, 0.22, 0.28, 0.92, 0.94, 0.70, 0.30, 0.95),
    Modality.PD: (0.78, 0.96, 0.90, 0.86, 0.94, 0.92, 0.80, 0.78, 0.95, 0.20, 0.75),
}
"""Mean brightness of each tissue, white matter on T1 being 1."""

TISSUE_SPREAD = 0.07
"""Of the means between people and scanners, as a share of them."""

GREY_FROM_WHITE, FLUID_FROM_BRAIN = (0.4, 1.3), (0.85, 1.3)
"""Sequences differ most in these distances, as shares of the typical ones: where grey lies near to white, as on T1 by spin echo, fluid is
more SD of the parenchyma away from both."""

_FLUID = [Tissue.VENTRICLE, Tissue.CSF]
_SOLID = [t for t in INTRACRANIAL if t not in _FLUID]


def draw_tissue_means(
    modalities: Sequence[Modality], batch: int, generator: torch.Generator
) -> Tensor:
    """(batch, modalities, tissues) mean brightness, not negative, with the differences between sequences, scanners and people."""
    typical = torch.tensor([TYPICAL[m] for m in modalities], device=generator.device)
    share = torch.ones((batch, *typical.shape), device=generator.device)
    share[..., _SOLID] = uniform((*share.shape[:2], 1), *GREY_FROM_WHITE, generator)
    share[..., _FLUID] = uniform((*share.shape[:2], 1), *FLUID_FROM_BRAIN, generator)
    brain = typical[:, [Tissue.WHITE, Tissue.CORTEX]].mean(1, keepdim=True)
    means = brain + share * (typical - brain)
    return (means * (1 + TISSUE_SPREAD * normal(means.shape, generator))).clamp(min=0.02)
