"""Synthetic anomalies: what turns a healthy scan into one that a network learns to restore and to mark.

Every kind is a function from healthy images and a soft mask to changed images. Places are drawn by tissue, sizes from 6 mm³ to
100 ml, shapes from smooth noise. This is a prior on lesions, and the model card says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor
from torch.nn import functional

from . import acquisition
from .acquisition import Slicing, acquire_slices
from .generator import Change
from .noise import chance, normal, smooth_field, spread, uniform

SMALLEST_MM, LARGEST_MM = 1.3, 29.0
"""Radii of spheres of 10 mm³ and 100 ml."""

VISIBLE_SD = 0.5
"""A voxel counts as anomalous where some scan changed by this many SD of the parenchyma, on average with its neighbours."""

LEAST_CONTRAST = 0.08
"""SD of the parenchyma, as a share of its mean, below which anomalies grow no fainter: contrasts drawn at random may have none."""

USUAL_SIGN = {
    Modality.FLAIR: 1.4,
    Modality.T2: 1.2,
    Modality.PD: 1.0,
    Modality.T1: -0.6,
    Modality.T1C: 0.5,
}
"""Four fifths of the shifts go this way and this far, the rest anywhere."""


MS_LIKE = 0.4
"""Share of patients whose small lesions are as large, and as many, as those of multiple sclerosis."""

MS_VOLUMES = ((0.0, 6.0), (0.33, 17.0), (0.67, 46.0), (0.93, 261.0), (0.99, 2200.0), (1.0, 5000.0))
"""Share of the lesions of multiple sclerosis up to a volume in mm³, of those of 6 mm³ and more; 27
patients' lesion masks (Lesjak et al., Neuroinformatics 16 (2018) 51)."""


Box = tuple[slice, ...]
"""Along k, j and i."""


@dataclass(frozen=True)
class Brain:
    """One healthy patient to be changed.

    Attributes:
        images: (m, k, j, i), parenchyma with mean 0 and SD 1.
        tissues: (k, j, i) int64, `Tissue` + 1, 0 for air.
        inside: (k, j, i) bool, where anomalies may lie.
        modalities: of the images.
        spacing: of the voxels, in mm.
    """

    images: Tensor
    tissues: Tensor
    inside: Tensor
    modalities: Sequence[Modality]
    spacing: float

    def is_in(self, *wanted: Tissue) -> Tensor:
        """(k, j, i) bool."""
        table = torch.zeros(len(Tissue) + 1, dtype=torch.bool, device=self.tissues.device)
        table[[t + 1 for t in wanted]] = True
        return table[self.tissues]

    @cached_property
    def white_matter_mean(self) -> Tensor:
        """(m, 1, 1, 1) mean intensity of white matter."""
        weight = self.is_in(Tissue.WHITE).float()
        return (self.images * weight).sum((1, 2, 3), keepdim=True) / weight.sum().clamp(min=1)

    def crop(self, box: Box) -> Brain:
        """What lies in a box, with the white matter of the whole."""
        every = (slice(None), *box)
        some = replace(
            self, images=self.images[every], tissues=self.tissues[box], inside=self.inside[box]
        )
        some.__dict__["white_matter_mean"] = self.white_matter_mean
        return some


Kind = Callable[[Brain, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""(brain, images so far (m, k, j, i), soft mask (k, j, i), generator) → changed images, and the soft mask of what changed."""


def shift_intensity(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Brighter or darker, mostly as disease is; from the tissue beneath, or from the level of white matter; half with a penumbra."""
    m, shown = len(brain.modalities), add_penumbra(brain, mask, generator)
    usual = torch.tensor([USUAL_SIGN[x] for x in brain.modalities], device=images.device)
    anything = uniform((m,), -1, 1, generator).sign()
    sign = torch.where(chance((1,), 0.2, generator), anything, usual).reshape(m, 1, 1, 1)
    amount = uniform((m, 1, 1, 1), 0.8, 4.5, generator)
    base = torch.where(
        chance((1, 1, 1, 1), 0.5, generator), images, brain.white_matter_mean.expand_as(images)
    )
    grain = 0.25 * smooth_field(1, m, mask.shape, 4 / brain.spacing, generator)[0]
    return images * (1 - shown) + shown * (base + sign * amount + grain), mask


def add_penumbra(brain: Brain, mask: Tensor, generator: torch.Generator) -> Tensor:
    """What a lesion makes of the picture: half of the time beyond its edge, fainter, in the white matter around.

    Lesions of white matter have a penumbra that raters leave out (Maillard et al., Stroke 42 (2011) 1917).
    """
    if not bool(chance((1,), 0.5, generator)):
        return mask
    width, share = (
        float(uniform((1,), 1.5, 5, generator)) / brain.spacing,
        float(uniform((1,), 0.1, 0.5, generator)),
    )
    around = (
        spread((mask > 0.5).float()[None, None], width)[0, 0]
        * brain.is_in(Tissue.WHITE)
        * brain.inside
    )
    return torch.maximum(mask, share * around)


def draw_tumour(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A tumour: core, rim and oedema each with brightness of its own; oedema spreads in white matter only."""
    m = len(brain.modalities)
    usual = torch.tensor([USUAL_SIGN[x] for x in brain.modalities], device=images.device).reshape(
        m, 1, 1, 1
    )
    around = spread(mask[None, None], float(uniform((1,), 6, 25, generator)) / brain.spacing)[0, 0]
    around = around * (0.15 + 0.85 * brain.is_in(Tissue.WHITE)) * brain.inside
    out = images + around * usual * uniform((m, 1, 1, 1), 0.6, 3.0, generator)
    inner, outer = torch.sort(uniform((2,), 0.3, 0.9, generator)).values.tolist()
    rim, core = torch.sigmoid((mask - inner) * 20), torch.sigmoid((mask - outer) * 20)
    for part in (rim, core):
        level = uniform((m, 1, 1, 1), -2.5, 4.5, generator)
        grain = (
            0.4
            * smooth_field(
                1, m, mask.shape, float(uniform((1,), 2, 8, generator)) / brain.spacing, generator
            )[0]
        )
        out = out * (1 - part) + part * (level + grain)
    return out, torch.maximum(mask, around)


def draw_foreign_texture(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A texture that no tissue has."""
    m = len(brain.modalities)
    scale = float(uniform((1,), 1.5, 10, generator)) / brain.spacing
    texture = (
        uniform((m, 1, 1, 1), -2, 3, generator)
        + uniform((m, 1, 1, 1), 0.3, 1.5, generator)
        * smooth_field(1, m, mask.shape, max(1.0, scale), generator)[0]
    )
    return images * (1 - mask) + mask * texture, mask


def paste_elsewhere(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What lies somewhere else in the same brain, mirrored: cut and paste (Li et al., CutPaste, CVPR 2021)."""
    shift = [
        int(x)
        for x in (
            uniform((3,), 12, 45, generator)
            / brain.spacing
            * uniform((3,), -1, 1, generator).sign()
        ).tolist()
    ]
    shift = [max(-n // 2, min(n // 2, x)) for x, n in zip(shift, mask.shape, strict=True)]
    other = images.roll(shift, (1, 2, 3)).flip(3 if chance((1,), 0.5, generator) else 2)
    there = brain.inside.roll(shift, (0, 1, 2)).flip(2)
    return torch.where((mask * there > 0.5)[None], other, images), mask


def distort(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pushed outwards or pulled inwards from the middle of the mask: mass effect and atrophy."""
    grid = torch.stack(
        torch.meshgrid(
            *(torch.arange(n, device=mask.device, dtype=torch.float32) for n in mask.shape),
            indexing="ij",
        )
    )
    middle = (grid * mask).sum((1, 2, 3), keepdim=True) / mask.sum().clamp(min=1e-3)
    strength = float(uniform((1,), 0.25, 0.6, generator)) * (
        1 if chance((1,), 0.6, generator) else -1
    )
    soft = spread((mask[None, None] > 0.5).float(), 5 / brain.spacing)[0, 0]
    place = grid - strength * soft * (grid - middle)
    size = torch.tensor(mask.shape, device=mask.device).reshape(3, 1, 1, 1)
    unit = ((place + 0.5) / size * 2 - 1).flip(0).movedim(0, -1)[None]
    return functional.grid_sample(images[None], unit, padding_mode="border", align_corners=False)[
        0
    ], soft


def add_coarse_noise(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Coarse noise: pixel noise teaches nothing (Kascenas et al., MIDL 2022)."""
    field = smooth_field(
        1,
        images.shape[0],
        mask.shape,
        float(uniform((1,), 4, 14, generator)) / brain.spacing,
        generator,
    )[0]
    return images + mask * field * float(uniform((1,), 0.8, 2.5, generator)), mask


def remove_detail(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """All detail gone."""
    width = 2 * max(1, round(float(uniform((1,), 2, 4, generator)) / brain.spacing)) + 1
    width = min(width, 2 * ((min(mask.shape) - 1) // 2) + 1)
    soft = functional.avg_pool3d(images[None], width, 1, width // 2, count_include_pad=False)[0]
    return images * (1 - mask) + mask * soft, mask


SMALL: dict[str, tuple[Kind, float]] = {
    "shifted": (shift_intensity, 0.8),
    "foreign": (draw_foreign_texture, 0.08),
    "pasted": (paste_elsewhere, 0.06),
    "blurred": (remove_detail, 0.06),
}
LARGE: dict[str, tuple[Kind, float]] = {
    "ringed": (draw_tumour, 0.4),
    "shifted": (shift_intensity, 0.25),
    "foreign": (draw_foreign_texture, 0.1),
    "pasted": (paste_elsewhere, 0.08),
    "distorted": (distort, 0.07),
    "noisy": (add_coarse_noise, 0.05),
    "blurred": (remove_detail, 0.05),
}
"""Kinds of anomaly and how often each is drawn."""

LOCAL = (shift_intensity, draw_foreign_texture, remove_detail)
"""Kinds that need nothing from beyond the box of a small anomaly: drawn in that box alone, a tenth of the work."""

_TISSUE_WEIGHTS = {
    Tissue.WHITE: 1.0,
    Tissue.CORTEX: 0.2,
    Tissue.STRIATUM: 0.5,
    Tissue.THALAMUS: 0.5,
    Tissue.BRAINSTEM: 0.4,
}
_TISSUE_WEIGHTS |= {Tissue.CEREBELLUM_WHITE: 0.4, Tissue.CEREBELLUM_CORTEX: 0.1}


def draw_blob(
    brain: Brain, radius_mm: float, likely: Tensor, generator: torch.Generator
) -> tuple[Tensor, Box]:
    """A soft mask of about a radius, and the box it lies in; its centre is drawn from a map of likelihood (k, j, i)."""
    device, shape = likely.device, likely.shape
    until = likely.flatten().double().cumsum(0)
    at = int(
        torch.searchsorted(
            until,
            until[-1] * torch.rand((1,), generator=generator, device=device, dtype=torch.float64),
        )
    )
    at = min(at, likely.numel() - 1)
    k, j, i = at // (shape[1] * shape[2]), at // shape[2] % shape[1], at % shape[2]
    radius = radius_mm / brain.spacing
    reach = math.ceil(radius * 3) + 2
    box = tuple(
        slice(max(0, c - reach), min(n, c + reach + 1))
        for c, n in zip((k, j, i), shape, strict=True)
    )
    axes = [
        (torch.arange(s.start, s.stop, device=device) - c).float()
        for s, c in zip(box, (k, j, i), strict=True)
    ]
    stretch = torch.exp(0.3 * normal((3,), generator)).tolist()
    a, b, c = (x * s / radius for x, s in zip(axes, stretch, strict=True))
    distance = torch.sqrt(a[:, None, None] ** 2 + b[None, :, None] ** 2 + c[None, None, :] ** 2)
    size = distance.shape
    rough = 0.25 * smooth_field(1, 1, size, max(1.0, radius * 0.6), generator) + 0.3 * smooth_field(
        1, 1, size, max(1.0, radius * 1.5), generator
    )
    sharp = float(uniform((1,), 3, 9, generator))
    return torch.sigmoid((1 + rough[0, 0] - distance) * sharp), box


def ms_lesion_radius(share: float) -> float:
    """Return the radius in mm of the sphere that a share of MS lesions is smaller than, 0 to 1."""
    shares, volumes = zip(*MS_VOLUMES, strict=True)
    volume = math.exp(np.interp(share, shares, np.log(volumes)))
    return (3 * volume / (4 * math.pi)) ** (1 / 3)


def add(
    brain: Brain,
    generator: torch.Generator,
    *,
    healthy: float = 0.2,
    without: Sequence[str] = (),
    most_small: int = 24,
    scanned: Callable[[Tensor], Tensor] = lambda change: change,
) -> tuple[Tensor, Tensor]:
    """Change a healthy patient.

    Args:
        brain: the patient.
        generator: the only source of randomness.
        healthy: share of patients left as they are.
        without: kinds never drawn, to be held out.
        most_small: of small anomalies in one patient; twice as many where they are as in MS.
        scanned: what the scanner makes of a change (m, k, j, i) of the images: `as_scanned`, where they have been acquired already.

    Returns:
        images (m, k, j, i), and in which of them each voxel is anomalous, (m, k, j, i) bool: inside a mask, and changed by more
        than `VISIBLE`.
    """
    images = brain.images.clone()
    marked = torch.zeros_like(brain.inside, dtype=torch.float32)
    if bool(chance((1,), healthy, generator)) or not bool(brain.inside.any()):
        return images, torch.zeros_like(images, dtype=torch.bool)
    likely = torch.zeros_like(marked)
    for tissue, weight in _TISSUE_WEIGHTS.items():
        likely += weight * brain.is_in(tissue)
    likely *= brain.inside
    near = spread(brain.is_in(Tissue.VENTRICLE)[None, None].float(), 8 / brain.spacing)[0, 0]
    small_likely = likely * (1 + 2 * near * brain.is_in(Tissue.WHITE))
    fluid = brain.is_in(Tissue.VENTRICLE, Tissue.CSF)
    small, large = (
        {name: entry for name, entry in kinds.items() if name not in without}
        for kinds in (SMALL, LARGE)
    )
    ms_like = bool(chance((1,), MS_LIKE, generator))
    most = 2 * most_small if ms_like else most_small
    count = (
        int(uniform((1,), 0, 1, generator) ** 2 * (most + 1)) if small and bool(likely.any()) else 0
    )
    whole: Box = (slice(None),) * 3

    def put(kind: Kind, mask: Tensor, box: Box) -> None:
        if kind not in LOCAL:
            mask, box = functional.pad(mask, _around(box, likely.shape)), whole
        every = (slice(None), *box)
        images[every], changed = kind(brain.crop(box), images[every], mask, generator)
        marked[box] = torch.maximum(marked[box], changed)

    for _ in range(count):
        share = float(uniform((1,), 0, 1, generator))
        radius = ms_lesion_radius(share) if ms_like else SMALLEST_MM * (9 / SMALLEST_MM) ** share
        mask, box = draw_blob(brain, radius, small_likely, generator)
        allowed = brain.inside[box] & (~fluid[box] | chance((1,), 0.1, generator))
        put(_draw(small, generator), mask * allowed, box)
    if large and (count == 0 or bool(chance((1,), 0.3, generator))) and bool(likely.any()):
        radius = 6 * (LARGEST_MM / 6) ** float(uniform((1,), 0, 1, generator))
        mask, box = draw_blob(brain, radius, brain.inside.float(), generator)
        put(_draw(large, generator), mask * brain.inside[box], box)
    images = brain.images + torch.where(brain.inside, scanned(images - brain.images), 0)
    change = functional.avg_pool3d(
        (images - brain.images).abs()[None], 3, 1, 1, count_include_pad=False
    )[0]  # not speckled
    return images, (change > VISIBLE_SD) & (marked > 0.5) & brain.inside


def make_acquisition(
    cut: Sequence[Slicing | None], generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """What a scanner makes of a change (m, k, j, i) of scans it has cut into such slices: no sharper than they are.

    A lesion put into a finished scan as it is has sharper edges and less noise than its surroundings, and gives itself away by that;
    and it has no fading rim, so that a network draws the rims of real ones too.
    """
    sigma = uniform((1, len(cut)), 0.5, 1.0, generator)
    return lambda change: acquire_slices(acquisition.blur(change[None], sigma), [cut])[0]


def make_change(*, spacing: float, healthy: float = 0.2, without: Sequence[str] = ()) -> Change:
    """`add` as a `Change`: for scans in any units, that are yet to be acquired.

    Args:
        spacing: of the voxels, in mm.
        healthy, without: as in `add`.
    """

    def change(
        images: Tensor, tissues: Tensor, modalities: Sequence[Modality], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        inside = (tissues > 0) & (tissues <= Tissue.CEREBELLUM_CORTEX + 1)
        middle, scale = measure_parenchyma(images, tissues, inside)
        scale = torch.maximum(scale, LEAST_CONTRAST * middle.abs())
        brain = Brain((images - middle) / scale, tissues, inside, modalities, spacing)
        changed, marked = add(brain, generator, healthy=healthy, without=without)
        return torch.where(inside, (changed * scale + middle).clamp(min=0), images), marked

    return change


def measure_parenchyma(images: Tensor, tissues: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """(m, 1, 1, 1) mean and SD of white matter and cortex, or of all that is inside where there is hardly any of them.

    Args:
        images: (m, k, j, i).
        tissues: (k, j, i) int64, `Tissue` + 1.
        inside: (k, j, i) bool.
    """
    parenchyma = inside & ((tissues == Tissue.WHITE + 1) | (tissues == Tissue.CORTEX + 1))
    reference = parenchyma if int(parenchyma.sum()) > 200 else inside
    if int(reference.sum()) <= 1:
        return torch.zeros_like(images[:, :1, :1, :1]), torch.ones_like(images[:, :1, :1, :1])
    values = images[:, reference]
    return values.mean(1).reshape(-1, 1, 1, 1), values.std(1).clamp(min=1e-3).reshape(-1, 1, 1, 1)


def _around(box: Box, shape: Sequence[int]) -> list[int]:
    """Zeros to put around a box, last axis first, as `torch.nn.functional.pad` wants them."""
    return [
        n
        for s, size in zip(reversed(box), reversed(shape), strict=True)
        for n in (s.start, size - s.stop)
    ]


def _draw(kinds: dict[str, tuple[Kind, float]], generator: torch.Generator) -> Kind:
    weights = torch.tensor([w for _, w in kinds.values()], device=generator.device)
    return list(kinds.values())[int(torch.multinomial(weights, 1, generator=generator))][0]
