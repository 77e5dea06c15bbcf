"""Synthetic anomalies, which a network learns to mark and to restore.

Every kind is a function from healthy images and a soft mask to changed images. Places are drawn by
tissue, sizes from 6 mm³ to 100 ml, shapes from smooth noise. This is a prior on lesions, and the
model card says so.
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
"""A voxel counts as anomalous where a scan changes by this many SD of the parenchyma, on average
with its neighbours.
"""

LEAST_CONTRAST = 0.08
"""SD of the parenchyma, as a share of its mean, below which anomalies grow no fainter: contrasts
drawn at random may have none.
"""

USUAL_SIGN = {
    Modality.FLAIR: 1.4,
    Modality.T2: 1.2,
    Modality.PD: 1.0,
    Modality.T1: -0.6,
    Modality.T1C: 0.5,
}
"""Direction and size of four fifths of the shifts; the others go either way."""


MS_LIKE = 0.4
"""Share of patients whose small lesions are as small, and as many, as in multiple sclerosis."""

MS_VOLUMES = ((0.0, 6.0), (0.33, 17.0), (0.67, 46.0), (0.93, 261.0), (0.99, 2200.0), (1.0, 5000.0))
"""Share of the lesions of multiple sclerosis up to a volume in mm³, of those of 6 mm³ and more.

Measured on the lesion masks of 27 patients (Lesjak et al., Neuroinformatics 16 (2018) 51).
"""


Box = tuple[slice, ...]
"""Slices along k, j and i."""


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
        """Return where any of some tissues is, (k, j, i) bool."""
        table = torch.zeros(len(Tissue) + 1, dtype=torch.bool, device=self.tissues.device)
        table[[t + 1 for t in wanted]] = True
        return table[self.tissues]

    @cached_property
    def white_matter_mean(self) -> Tensor:
        """Mean intensity of white matter, (m, 1, 1, 1)."""
        weight = self.is_in(Tissue.WHITE).float()
        return (self.images * weight).sum((1, 2, 3), keepdim=True) / weight.sum().clamp(min=1)

    def crop(self, box: Box) -> Brain:
        """Return the part in a box, with the white-matter mean of the whole."""
        every = (slice(None), *box)
        some = replace(
            self, images=self.images[every], tissues=self.tissues[box], inside=self.inside[box]
        )
        some.__dict__["white_matter_mean"] = self.white_matter_mean
        return some


Kind = Callable[[Brain, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""A kind of anomaly.

From (brain, images so far (m, k, j, i), soft mask (k, j, i), generator) to changed images and the
soft mask of what changed.
"""


def shift_intensity(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Make a place brighter or darker, mostly in the direction of disease.

    The shift starts from the tissue beneath, or from the level of white matter; half of the lesions
    have a penumbra.
    """
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
    """Extend half of the masks by a fainter margin in the white matter around.

    Lesions of white matter have a penumbra that raters leave out (Maillard et al., Stroke 42 (2011)
    1917).
    """
    if not bool(chance((1,), 0.5, generator)):
        return mask
    width = float(uniform((1,), 1.5, 5, generator)) / brain.spacing
    share = float(uniform((1,), 0.1, 0.5, generator))
    around = spread((mask > 0.5).float()[None, None], width)[0, 0]
    around = around * brain.is_in(Tissue.WHITE) * brain.inside
    return torch.maximum(mask, share * around)


def draw_tumour(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a tumour: core, rim and oedema, each with a brightness of its own.

    Oedema spreads in white matter only.
    """
    m = len(brain.modalities)
    usual = torch.tensor([USUAL_SIGN[x] for x in brain.modalities], device=images.device)
    usual = usual.reshape(m, 1, 1, 1)
    around = spread(mask[None, None], float(uniform((1,), 6, 25, generator)) / brain.spacing)[0, 0]
    around = around * (0.15 + 0.85 * brain.is_in(Tissue.WHITE)) * brain.inside
    out = images + around * usual * uniform((m, 1, 1, 1), 0.6, 3.0, generator)
    inner, outer = torch.sort(uniform((2,), 0.3, 0.9, generator)).values.tolist()
    rim, core = torch.sigmoid((mask - inner) * 20), torch.sigmoid((mask - outer) * 20)
    for part in (rim, core):
        level = uniform((m, 1, 1, 1), -2.5, 4.5, generator)
        scale = float(uniform((1,), 2, 8, generator)) / brain.spacing
        grain = 0.4 * smooth_field(1, m, mask.shape, scale, generator)[0]
        out = out * (1 - part) + part * (level + grain)
    return out, torch.maximum(mask, around)


def draw_foreign_texture(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw a texture that no tissue has."""
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
    """Paste another part of the same brain, mirrored.

    Cut and paste, after Li et al., CutPaste, CVPR 2021.
    """
    millimetres = uniform((3,), 12, 45, generator)
    sign = uniform((3,), -1, 1, generator).sign()
    shift = [int(x) for x in (millimetres / brain.spacing * sign).tolist()]
    shift = [max(-n // 2, min(n // 2, x)) for x, n in zip(shift, mask.shape, strict=True)]
    other = images.roll(shift, (1, 2, 3)).flip(3 if chance((1,), 0.5, generator) else 2)
    there = brain.inside.roll(shift, (0, 1, 2)).flip(2)
    return torch.where((mask * there > 0.5)[None], other, images), mask


def distort(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Push the surroundings outwards or pull them inwards: mass effect and atrophy."""
    axes = (torch.arange(n, device=mask.device, dtype=torch.float32) for n in mask.shape)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    middle = (grid * mask).sum((1, 2, 3), keepdim=True) / mask.sum().clamp(min=1e-3)
    strength = float(uniform((1,), 0.25, 0.6, generator))
    strength *= 1 if chance((1,), 0.6, generator) else -1
    soft = spread((mask[None, None] > 0.5).float(), 5 / brain.spacing)[0, 0]
    place = grid - strength * soft * (grid - middle)
    size = torch.tensor(mask.shape, device=mask.device).reshape(3, 1, 1, 1)
    unit = ((place + 0.5) / size * 2 - 1).flip(0).movedim(0, -1)[None]
    moved = functional.grid_sample(images[None], unit, padding_mode="border", align_corners=False)
    return moved[0], soft


def add_coarse_noise(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Add coarse noise.

    Pixel noise teaches nothing (Kascenas et al., MIDL 2022).
    """
    scale = float(uniform((1,), 4, 14, generator)) / brain.spacing
    field = smooth_field(1, images.shape[0], mask.shape, scale, generator)[0]
    return images + mask * field * float(uniform((1,), 0.8, 2.5, generator)), mask


def remove_detail(
    brain: Brain, images: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blur all detail away."""
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
"""Kinds that need nothing from beyond the box of a small anomaly; drawing them in that box alone
takes a tenth of the time.
"""

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
    """Draw a soft blob with an irregular edge.

    Args:
        brain: the patient, for the size of the voxels.
        radius_mm: about.
        likely: (k, j, i) relative probability of its centre.
        generator: the only source of randomness.

    Returns:
        The mask, 0 to 1, and the box that it lies in.
    """
    device, shape = likely.device, likely.shape
    until = likely.flatten().double().cumsum(0)
    share = torch.rand((1,), generator=generator, device=device, dtype=torch.float64)
    at = min(int(torch.searchsorted(until, until[-1] * share)), likely.numel() - 1)
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
    rough = 0.25 * smooth_field(1, 1, size, max(1.0, radius * 0.6), generator)
    rough = rough + 0.3 * smooth_field(1, 1, size, max(1.0, radius * 1.5), generator)
    sharp = float(uniform((1,), 3, 9, generator))
    return torch.sigmoid((1 + rough[0, 0] - distance) * sharp), box


def ms_lesion_radius(share: float) -> float:
    """Return the radius in mm of the sphere that a share of MS lesions is smaller than, 0 to 1."""
    shares, volumes = zip(*MS_VOLUMES, strict=True)
    volume = math.exp(float(np.interp(share, shares, np.log(volumes))))
    return math.pow(3 * volume / (4 * math.pi), 1 / 3)


def add(
    brain: Brain,
    generator: torch.Generator,
    *,
    healthy: float = 0.2,
    without: Sequence[str] = (),
    most_small: int = 24,
    acquire: Callable[[Tensor], Tensor] = lambda change: change,
) -> tuple[Tensor, Tensor]:
    """Add anomalies to a healthy patient.

    Args:
        brain: the patient.
        generator: the only source of randomness.
        healthy: share of patients left as they are.
        without: kinds never drawn, to be held out.
        most_small: of small anomalies in one patient; twice as many where they are as in MS.
        acquire: what a scanner makes of a change (m, k, j, i) of the images: `make_acquisition`,
            where they have been acquired already.

    Returns:
        Images (m, k, j, i), and in which of them each voxel is anomalous, (m, k, j, i) bool: inside
        a mask, and changed by more than `VISIBLE_SD`.
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
    is_possible = bool(likely.any())
    count = int(uniform((1,), 0, 1, generator) ** 2 * (most + 1)) if small and is_possible else 0
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
    if large and (count == 0 or bool(chance((1,), 0.3, generator))) and is_possible:
        radius = 6 * (LARGEST_MM / 6) ** float(uniform((1,), 0, 1, generator))
        mask, box = draw_blob(brain, radius, brain.inside.float(), generator)
        put(_draw(large, generator), mask * brain.inside[box], box)
    images = brain.images + torch.where(brain.inside, acquire(images - brain.images), 0)
    change = (images - brain.images).abs()[None]
    change = functional.avg_pool3d(change, 3, 1, 1, count_include_pad=False)[0]  # without speckle
    return images, (change > VISIBLE_SD) & (marked > 0.5) & brain.inside


def make_acquisition(
    cut: Sequence[Slicing | None], generator: torch.Generator
) -> Callable[[Tensor], Tensor]:
    """Create the acquisition of a change of scans that have been cut into slices.

    A lesion put into a finished scan has sharper edges and less noise than its surroundings, which
    a network would learn to tell it by; and without a fading rim of its own it would teach the
    network to mark the rims of real lesions.

    Args:
        cut: of each scan.
        generator: the only source of randomness.

    Returns:
        A function of a change (m, k, j, i) that makes it no sharper than the scans.
    """
    sigma = uniform((1, len(cut)), 0.5, 1.0, generator)
    return lambda change: acquire_slices(acquisition.blur(change[None], sigma), [cut])[0]


def make_change(*, spacing: float, healthy: float = 0.2, without: Sequence[str] = ()) -> Change:
    """Create a `Change` that adds anomalies to scans in any units before they are acquired.

    Args:
        spacing: of the voxels, in mm.
        healthy: as in `add`.
        without: as in `add`.
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
    """Measure mean and SD of white matter and cortex.

    Where there is hardly any of them, those of the whole brain are measured.

    Args:
        images: (m, k, j, i).
        tissues: (k, j, i) int64, `Tissue` + 1.
        inside: (k, j, i) bool.

    Returns:
        Mean and SD, each (m, 1, 1, 1).
    """
    parenchyma = inside & ((tissues == Tissue.WHITE + 1) | (tissues == Tissue.CORTEX + 1))
    reference = parenchyma if int(parenchyma.sum()) > 200 else inside
    if int(reference.sum()) <= 1:
        return torch.zeros_like(images[:, :1, :1, :1]), torch.ones_like(images[:, :1, :1, :1])
    values = images[:, reference]
    return values.mean(1).reshape(-1, 1, 1, 1), values.std(1).clamp(min=1e-3).reshape(-1, 1, 1, 1)


def _around(box: Box, shape: Sequence[int]) -> list[int]:
    """Return the padding around a box, last axis first, as `torch.nn.functional.pad` takes it."""
    return [
        n
        for s, size in zip(reversed(box), reversed(shape), strict=True)
        for n in (s.start, size - s.stop)
    ]


def _draw(kinds: dict[str, tuple[Kind, float]], generator: torch.Generator) -> Kind:
    weights = torch.tensor([w for _, w in kinds.values()], device=generator.device)
    return list(kinds.values())[int(torch.multinomial(weights, 1, generator=generator))][0]
