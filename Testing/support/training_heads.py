"""Small made heads and label maps that the tests of training share."""

from __future__ import annotations

import numpy as np
import torch
from BrainSSLAnomalyLib.core.anatomy import Structure, Tissue
from BrainSSLAnomalyLib.core.study import Modality

from training.data.heads import HealthyHeads
from training.data.label_archive import LabelArchive
from training.synthesis.anomalies import Brain

CODES = np.array([0, 2, 3, 4, 12, 17, 24, 41, 42, 43, 51, 53, 502, 515])


def label_archive() -> LabelArchive:
    """Nested ellipsoids from ventricle to skin, with two sides and a putamen each."""
    k, j, i = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (80, 96, 80)), indexing="ij")
    radius = np.sqrt((k / 30) ** 2 + (j / 38) ** 2 + (i / 30) ** 2)
    left = i < 0
    codes = np.zeros(k.shape, int)
    for limit, code in ((1.3, 502), (1.25, 515), (1.05, 24)):
        codes[radius < limit] = code
    for limit, sides in ((0.95, (3, 42)), (0.75, (2, 41)), (0.25, (4, 43))):
        codes = np.where(radius < limit, np.where(left, *sides), codes)
    putamen = (k / 8) ** 2 + (j / 12) ** 2 + ((abs(i) - 15) / 4) ** 2 < 1
    codes = np.where(putamen, np.where(left, 12, 51), codes)
    return LabelArchive((np.searchsorted(CODES, codes).astype(np.uint8),), CODES)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def healthy_heads() -> HealthyHeads:
    """A ball with a left (bright) and a right half."""
    k, j, i = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (32, 32, 32)), indexing="ij")
    ball = k**2 + j**2 + i**2 < 12**2
    structures = np.where(
        ball, np.where(i < 0, Structure.LEFT_WHITE, Structure.RIGHT_WHITE), 0
    ).astype(np.uint8)
    structures[ball & (k > 6)] = Structure.BRAINSTEM
    image = np.where(ball, np.where(i < 0, 200, 100), 0).astype(np.uint8)
    return HealthyHeads((image[None],), (structures,), (np.zeros(structures.shape, bool),))


def healthy_pairs() -> HealthyHeads:
    """The same head with a FLAIR, its left part excluded."""
    head = healthy_heads()
    images = np.concatenate([head.images[0], 255 - head.images[0]])
    excluded = head.structures[0] == Structure.LEFT_WHITE
    return HealthyHeads((images,), head.structures, (excluded,), (Modality.T1, Modality.FLAIR))


def ball_brain(seed: int = 0) -> Brain:
    """A ball of white matter with a ventricle, noise for intensity."""
    k, j, i = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in (20, 40, 40)), indexing="ij")
    radius = torch.sqrt(k**2 + (j / 2) ** 2 + (i / 2) ** 2)
    tissues = torch.where(radius < 8, Tissue.WHITE + 1, 0)
    tissues[radius < 2] = Tissue.VENTRICLE + 1
    images = torch.randn((2, 20, 40, 40), generator=seeded(seed)) * (tissues > 0)
    return Brain(images, tissues, tissues > 0, (Modality.FLAIR, Modality.T1), 2.0)
