"""The appearance of tissues in a contrast: mean intensities, texture and normal bright regions.

Half of the contrasts look like T1, T1c, T2, FLAIR or PD; the other half are drawn at random, so
that a network learns shapes and not brightness (Billot et al., Medical Image Analysis 86 (2023)
102789).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor
from torch.nn import functional

from .contrasts import draw_tissue_means
from .noise import chance, expand_axes, normal, smooth_field, spread, uniform

STRUCTURE_SPREAD, NUCLEUS_SPREAD, HEAD_SPREAD = 0.03, 0.08, 0.45
"""Spread of single labels within a tissue, as a share of its mean.

Nuclei differ by their iron; skin, fat, muscle and marrow differ a lot.
"""

_SPREAD = torch.full((len(Tissue) + 1,), STRUCTURE_SPREAD)
_SPREAD[0] = 0.0
_SPREAD[[Tissue.STRIATUM + 1, Tissue.THALAMUS + 1]] = NUCLEUS_SPREAD
_SPREAD[Tissue.CEREBELLUM_CORTEX + 2 :] = HEAD_SPREAD

AGED = 0.4
"""Share of patients with the white matter of old age."""

PLEXUS, PUTAMEN, LIMBIC, LATERAL, FLOWING = (
    (31, 63),
    (12, 51),
    (17, 18, 53, 54),
    (4, 43),
    (14, 15, 24),
)
"""FreeSurfer codes that normal bright regions are found by."""

BRIGHT_ON = {Modality.FLAIR: 1.0, Modality.T2: 0.5, Modality.PD: 0.5}
"""Contrasts that show normal bright regions, and how strongly."""

RIM_MM, CAP_MM = (1.0, 3.0), (2.0, 8.0)
"""Width of the normal bright rim of the lateral ventricles, and length of the caps of their horns.

Of normal cap and rim voxels, 77 to 86 % lie within 3 mm of a ventricle; of lesion voxels, 3 to 22
%.
"""

AS_BRIGHT_AS_LESIONS = 0.5
"""Share of patients whose rims and caps reach the brightness of lesions.

Their median z is 2.4, that of lesions 2.8: distance and shape must decide, not intensity.
"""

FAINT, STRONG = (0.0, 1.6), (1.2, 3.2)
"""Brightness of rims and caps, as multiples of the contrast between cortex and white matter."""


def draw_mean_intensities(
    modalities: Sequence[Modality],
    tissue_of_label: Tensor,
    batch: int,
    generator: torch.Generator,
    *,
    at_random: float = 0.5,
) -> Tensor:
    """Draw the mean intensity of every label in every scan.

    Args:
        modalities: contrasts, in the order of the channels.
        tissue_of_label: (n,) int64, `Tissue` + 1 of each label, 0 for air.
        batch: number of patients.
        generator: the only source of randomness.
        at_random: share of scans whose tissues have any brightness at all.

    Returns:
        (batch, modalities, n) float32, not negative; air is nearly 0.
    """
    count = len(modalities)
    means = functional.pad(draw_tissue_means(modalities, batch, generator), (1, 0))
    anything = uniform(means.shape, 0.05, 1.2, generator)
    means = torch.where(chance((batch, count, 1), at_random, generator), anything, means)
    means[..., 0] = uniform((batch, count), 0.0, 0.03, generator)
    of_label = means[..., tissue_of_label]
    return (
        of_label
        * (
            1
            + _SPREAD.to(tissue_of_label.device)[tissue_of_label]
            * normal(of_label.shape, generator)
        )
    ).clamp(min=0)


def paint_labels(labels: Tensor, means: Tensor) -> Tensor:
    """Fill every voxel with the mean of its label.

    Args:
        labels: (b, k, j, i) int64.
        means: (b, m, n).

    Returns:
        (b, m, k, j, i).
    """
    flat = labels.flatten(1)[:, None].expand(-1, means.shape[1], -1)
    return torch.gather(means, 2, flat).reshape(*means.shape[:2], *labels.shape[1:])


def add_texture(
    image: Tensor, head: Tensor, generator: torch.Generator, *, spacing: float
) -> Tensor:
    """Vary brightness within tissues at several scales, and far more outside the skull.

    Args:
        image: (b, m, k, j, i).
        head: (b, 1, k, j, i) bool, bone and soft tissue.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.
    """
    batch, count, *shape = image.shape
    gain = torch.ones_like(image)
    for scale_mm, strength in ((2.0, 0.03), (5.0, 0.04), (14.0, 0.04), (30.0, 0.04)):
        amount = strength * uniform((batch, count, 1, 1, 1), 0, 1, generator)
        gain += amount * smooth_field(batch, count, shape, max(1.0, scale_mm / spacing), generator)
    head_gain = 1 + 0.3 * smooth_field(batch, 1, shape, 8 / spacing, generator)
    return image * torch.where(head, gain * head_gain, gain).clamp(min=0)


def add_normal_bright_regions(
    image: Tensor,
    labels: Tensor,
    codes: np.ndarray,
    means: Tensor,
    modalities: Sequence[Modality],
    generator: torch.Generator,
    spacing: float,
) -> Tensor:
    """Add the regions that are bright in healthy people on FLAIR, and less so on T2 and PD.

    They are rims and caps of the ventricles, the white matter of old age, septum, choroid plexus,
    the limbic lobe with insula and cingulate, and flowing fluid. Each person has them to another
    degree, and some hardly at all.

    Args:
        image: (b, m, k, j, i).
        labels: (b, k, j, i) int64, index into ``codes``.
        codes: (n,) FreeSurfer code of each label.
        means: (b, m, n) from `draw_mean_intensities`.
        modalities: of the m channels.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.
    """
    batch, shape = labels.shape[0], labels.shape[1:]

    def mask_of(*wanted: int) -> Tensor:
        table = torch.from_numpy(np.isin(codes, wanted)).to(labels.device)
        return table[labels][:, None].float()

    def level(code: int) -> Tensor:
        return expand_axes(means[:, :, int(np.flatnonzero(codes == code)[0])])

    white, cortex, lateral = mask_of(2, 41), mask_of(3, 42), mask_of(*LATERAL)
    contrast = (level(3) - level(2)).abs().clamp(min=0.08)
    share = torch.tensor([BRIGHT_ON.get(m, 0.0) for m in modalities], device=labels.device)
    share = share.reshape(1, -1, 1, 1, 1)
    left, right = (mask_of(code) for code in LATERAL)
    septum = (spread(left, 2 / spacing) * spread(right, 2 / spacing)).sqrt() * (white + lateral)
    septum = septum * expand_axes(uniform((batch,), 0.0, 1.0, generator))
    bright = level(2) + contrast * expand_axes(uniform((batch,), 0.5, STRONG[1], generator))
    image = torch.where(share > 0, image + septum * (bright - image).clamp(min=0) * share, image)
    image = image + share * contrast * draw_rims_and_caps(lateral, white, generator, spacing)
    image = image + contrast * draw_aged_white_matter(
        lateral, white, modalities, generator, spacing
    )
    near = spread(mask_of(*PUTAMEN), 14 / spacing) + spread(lateral, 22 / spacing) * 0.8
    limbic = (mask_of(*LIMBIC) + cortex * near).clamp(max=1)
    image = image + share * contrast * limbic * expand_axes(uniform((batch,), 0.0, 0.6, generator))
    blotches = smooth_field(batch, 1, shape, 5 / spacing, generator)
    inner = 1 - functional.max_pool3d(1 - lateral, 3, 1, 1)
    plexus = (mask_of(*PLEXUS) + inner * (blotches > 1.3)).clamp(max=1)
    brightest = 1.2 + 0.3 * share
    image = image * (1 - plexus) + plexus * level(3) * (
        0.5 + expand_axes(uniform((batch, image.shape[1]), 0, 1, generator)) * (brightest - 0.5)
    )
    flowing = torch.sigmoid(
        4 * (blotches.roll(7, 2) - uniform((batch, 1, 1, 1, 1), 1.0, 3.0, generator))
    ) * mask_of(*FLOWING)
    only_flair = (share == 1).float()
    return image * (1 - flowing * only_flair) + flowing * only_flair * level(3) * 0.9


def draw_rims_and_caps(
    lateral: Tensor, white: Tensor, generator: torch.Generator, spacing: float
) -> Tensor:
    """Draw the normal brightness of white matter at the lateral ventricles.

    A rim runs along their walls, caps reach farther out before and behind their horns; both are
    patchy.

    Args:
        lateral: (b, 1, k, j, i) float, lateral ventricles, 0 or 1; j rises to anterior.
        white: (b, 1, k, j, i) float, white matter, 0 or 1.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.

    Returns:
        (b, 1, k, j, i), multiples of the contrast between cortex and white matter, 0 to 4.
    """
    batch, shape = lateral.shape[0], lateral.shape[2:]
    patchy = (0.7 + 0.5 * smooth_field(batch, 1, shape, 18 / spacing, generator)).clamp(0, 1.25)
    rim = spread(lateral, float(uniform((1,), *RIM_MM, generator)) / spacing)
    half = max(
        1, min(round(float(uniform((1,), *CAP_MM, generator)) / spacing / 2), (shape[1] - 1) // 3)
    )
    along = ((1, 2 * half + 1, 1), 1, (0, half, 0))
    cap = functional.avg_pool3d(
        functional.max_pool3d(lateral, *along), *along, count_include_pad=False
    )
    cap = (2 * cap).clamp(max=1)  # whole up to half of its length, then fading
    bright = chance((batch,), AS_BRIGHT_AS_LESIONS, generator)
    amount = torch.where(
        bright, uniform((batch,), *STRONG, generator), uniform((batch,), *FAINT, generator)
    )
    return torch.maximum(rim, cap) * white * patchy * expand_axes(amount)


def draw_aged_white_matter(
    lateral: Tensor,
    white: Tensor,
    modalities: Sequence[Modality],
    generator: torch.Generator,
    spacing: float,
) -> Tensor:
    """Draw what old age adds to white matter.

    It is a wide, faint, patchy halo of the ventricles and faint islands in the deep white matter,
    which raters of lesions leave out: bright on FLAIR, less so on T2 and PD, dark on T1.

    Args:
        lateral: (b, 1, k, j, i) float, lateral ventricles, 0 or 1.
        white: (b, 1, k, j, i) float, white matter, 0 or 1.
        modalities: m contrasts.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.

    Returns:
        (b, m, k, j, i), a share of the contrast between cortex and white matter, −0.7 to 2.4; 0 in
        most patients.
    """
    batch, shape = lateral.shape[0], lateral.shape[2:]
    signs = {
        Modality.FLAIR: 1.0,
        Modality.T2: 0.5,
        Modality.PD: 0.5,
        Modality.T1: -0.3,
        Modality.T1C: -0.3,
    }
    sign = torch.tensor([signs.get(m, 0.0) for m in modalities], device=lateral.device).reshape(
        1, -1, 1, 1, 1
    )
    patchy = (0.7 + 0.4 * smooth_field(batch, 1, shape, 10 / spacing, generator)).clamp(0, 1.6)
    halo = spread(lateral, uniform((1,), 4.0, 16.0, generator).item() / spacing) * patchy
    islands = torch.sigmoid(
        4
        * (
            smooth_field(batch, 1, shape, 8 / spacing, generator)
            - expand_axes(uniform((batch,), 1.0, 3.0, generator))
        )
    )
    amount = chance((batch,), AGED, generator) * uniform((batch,), 0.0, 1.5, generator)
    return sign * torch.maximum(halo, islands) * white * expand_axes(amount)
