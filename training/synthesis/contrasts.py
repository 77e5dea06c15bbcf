"""The brightness of tissues on a scanner drawn at random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from BrainSSLAnomalyLib.core.anatomy import INTRACRANIAL, Tissue
from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor

from .noise import normal, uniform

TISSUE_SPREAD = 0.07
"""Spread of the means between people and scanners, as a share of them."""

GREY_FROM_WHITE, FLUID_FROM_BRAIN = (0.4, 1.3), (0.85, 1.3)
"""Distances of grey and fluid from white matter, as shares of the typical ones.

Sequences differ most in these: where grey lies near to white, as on T1 by spin echo, fluid is more
SD of the parenchyma away from both.
"""

_FLUID = [Tissue.VENTRICLE, Tissue.CSF]
_SOLID = [t for t in INTRACRANIAL if t not in _FLUID]


def draw_tissue_means(
    modalities: Sequence[Modality], batch: int, generator: torch.Generator
) -> Tensor:
    """Draw mean brightnesses with the differences between sequences, scanners and people.

    Returns:
        (batch, modalities, tissues), not negative.
    """
    typical = torch.tensor([TISSUE_BRIGHTNESS[m] for m in modalities], device=generator.device)
    share = torch.ones((batch, *typical.shape), device=generator.device)
    share[..., _SOLID] = uniform((*share.shape[:2], 1), *GREY_FROM_WHITE, generator)
    share[..., _FLUID] = uniform((*share.shape[:2], 1), *FLUID_FROM_BRAIN, generator)
    brain = typical[:, [Tissue.WHITE, Tissue.CORTEX]].mean(1, keepdim=True)
    means = brain + share * (typical - brain)
    return (means * (1 + TISSUE_SPREAD * normal(means.shape, generator))).clamp(min=0.02)
