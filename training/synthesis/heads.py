"""Samples of real healthy heads, deformed and degraded as synthetic ones are.

They bring real necks, meninges and texture, which synthesis lacks. The brightness of a T1 is drawn
anew half of the time, so that it teaches no contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from BrainSSLAnomalyLib.core.anatomy import TISSUE_OF_STRUCTURE, Structure, Tissue
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor
from torch.nn import functional

from ..data.heads import SPACING_MM, HealthyHeads
from . import acquisition, appearance, atrophy
from .contrasts import draw_tissue_means
from .generator import Change, GeneratorSettings, draw_places, sample_nearest
from .noise import chance, uniform

KNOTS = 4
"""Pieces of a random curve of brightness."""


class HeadSample(NamedTuple):
    """A batch of real heads.

    Attributes:
        images: (b, m, k, j, i), with the median of the brain at 1.
        structures: (b, k, j, i) int64, codes of `Structure`, also beneath an anomaly.
        changed: (b, m, k, j, i) bool, anomalies.
        excluded: (b, k, j, i) bool, voxels that are not known to be healthy.
        modalities: (b, m) the contrast that each scan looks like.
        slicings: (b, m) how each was cut.
    """

    images: Tensor
    structures: Tensor
    changed: Tensor
    excluded: Tensor
    modalities: tuple[tuple[Modality, ...], ...]
    slicings: list[list[acquisition.Slicing | None]]


CONTRAST_SHARES = {Modality.T1: 0.4, Modality.T2: 0.3, Modality.FLAIR: 0.25, Modality.PD: 0.05}
"""Contrasts that a T1 is made to look like, and how often."""

_LADDER = (
    (Tissue.VENTRICLE, Tissue.CSF),
    (Tissue.CORTEX, Tissue.STRIATUM),
    (Tissue.WHITE, Tissue.WHITE),
)
"""Tissues in the order of their brightness on T1."""

_BRIGHT_FLUID = (Modality.T2, Modality.PD)


class HeadSampler:
    """Draws real heads, deformed and degraded as synthetic ones are."""

    def __init__(
        self,
        heads: HealthyHeads,
        settings: GeneratorSettings,
        chosen: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare heads on a device.

        Args:
            heads: the archive.
            settings: shape, spacing and deformation of a sample.
            chosen: which of the heads.
            device: where to draw.
        """
        self.settings, self.device = settings, torch.device(device)
        self._images = [torch.from_numpy(heads.images[n]).to(self.device) for n in chosen]
        self._structures = [torch.from_numpy(heads.structures[n]).to(self.device) for n in chosen]
        self._excluded = [torch.from_numpy(heads.excluded[n]).to(self.device) for n in chosen]
        self._modalities = heads.modalities
        twins = torch.arange(len(Structure), device=self.device)
        twins[Structure.LEFT_WHITE : Structure.MIDLINE_VENTRICLES] ^= 1
        self._mirror = twins

    def __call__(
        self, batch: int, generator: torch.Generator, change: Change | None = None
    ) -> HeadSample:
        """Draw heads.

        Args:
            batch: how many.
            generator: of the same device; the only source of randomness.
            change: made to a head before it is scanned anew.
        """
        s, count = self.settings, len(self._modalities)
        images = torch.empty((batch, count, *s.shape), device=self.device)
        truth = torch.empty((batch, *s.shape), dtype=torch.int64, device=self.device)
        excluded = torch.empty(truth.shape, dtype=torch.bool, device=self.device)
        changed, modalities = torch.zeros(images.shape, dtype=torch.bool, device=self.device), []
        for b, place in enumerate(draw_places(batch, s, generator)):
            n = int(torch.randint(len(self._images), (1,), generator=generator, device=self.device))
            found = sample_nearest(self._structures[n], place, SPACING_MM).long()
            if bool(chance((1,), s.old, generator)):
                place = atrophy.widen_fluid_spaces(
                    place, tissues_of_structures(found), generator, spacing=s.spacing
                )
                found = sample_nearest(self._structures[n], place, SPACING_MM).long()
            excluded_here = sample_nearest(self._excluded[n], place, SPACING_MM)
            scans = _interpolate(self._images[n].float() / 255, place)
            if bool(chance((1,), 0.5, generator)):
                scans, found, excluded_here = (
                    scans.flip(3),
                    self._mirror[found].flip(2),
                    excluded_here.flip(2),
                )
            contrasts = (_draw_modality(generator, self._modalities[1:]), *self._modalities[1:])
            scans[0] = change_contrast(scans[0], found, contrasts[0], generator, spacing=s.spacing)
            if change is not None:
                scans, changed[b] = change(
                    scans, tissues_of_structures(found), contrasts, generator
                )
            images[b], truth[b], excluded[b] = scans, found, excluded_here
            modalities.append(contrasts)
        images = acquisition.add_bias_field(images, generator, spacing=s.spacing)
        images = acquisition.change_gamma(images, generator)
        cut = acquisition.draw_slicings(
            batch, count, s.shape, generator, spacing=s.spacing, thickest_mm=s.thickest_mm
        )
        images = acquisition.acquire_slices(images, cut)
        images = acquisition.add_noise(images, generator)
        brain = truth[:, None] > 0
        kept = ~chance((batch, 1, 1, 1, 1), 0.3, generator) | brain
        for b in range(batch):
            if brain[b].any():
                median = images[b][:, brain[b, 0]].median(1).values.clamp(min=1e-3)
                images[b] = images[b] / median[:, None, None, None]
        return HeadSample(images * kept, truth, changed & brain, excluded, tuple(modalities), cut)


def _draw_modality(generator: torch.Generator, others: Sequence[Modality] = ()) -> Modality:
    """Draw what a T1 is made to look like, beside scans of other contrasts."""
    often = torch.tensor(
        [0.0 if m in others else share for m, share in CONTRAST_SHARES.items()],
        device=generator.device,
    )
    return tuple(CONTRAST_SHARES)[int(torch.multinomial(often, 1, generator=generator))]


def tissues_of_structures(structures: Tensor) -> Tensor:
    """Return `Tissue` + 1 of each `Structure`, 0 for those of no single tissue."""
    table = torch.tensor(
        [0 if t is None else t + 1 for t in TISSUE_OF_STRUCTURE], device=structures.device
    )
    return table[structures]


def change_contrast(
    image: Tensor,
    structures: Tensor,
    modality: Modality,
    generator: torch.Generator,
    *,
    spacing: float = SPACING_MM,
) -> Tensor:
    """Show a T1 in another contrast, with its own partial volumes and widths of fluid.

    Intensities inside the skull go through a curve that takes fluid, cortex and white matter of the
    T1 to where they lie in the contrast, on a scanner drawn at random; a quarter of the heads, and
    everything outside the skull, go through a random curve. Air stays dark.

    Args:
        image: (k, j, i), 0 to 1.
        structures: (k, j, i) int64, codes of `Structure`.
        modality: the contrast.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.
    """
    if modality is Modality.T1 and bool(chance((1,), 0.5, generator)):
        return image
    anything = _randomise_contrast(image[None, None], generator)[0, 0]
    tissues = tissues_of_structures(structures)
    parts = [image[(tissues == a + 1) | (tissues == b + 1)] for a, b in _LADDER]
    if min(part.numel() for part in parts) < 50 or bool(chance((1,), 0.25, generator)):
        return anything
    low, mid, high = sorted(float(part.median()) for part in parts)
    low = max(low, 0.02)
    fluid, grey, white = draw_tissue_means((modality,), 1, generator)[
        0, 0, [a for a, _ in _LADDER]
    ].tolist()
    knee = float(
        uniform((1,), 0.5, 0.9, generator)
    )  # where fluid and cortex share a voxel: real heads are blurred by their 2 mm
    at = torch.tensor([0.0, low, (low + mid) / 2, mid, high, 1.1], device=image.device)
    at = at + torch.arange(6, device=image.device) * 1e-3  # rising
    beneath = fluid if modality in _BRIGHT_FLUID else 0.0
    to = torch.tensor(
        [beneath, fluid, fluid + knee * (grey - fluid), grey, white, white], device=image.device
    )
    place = torch.searchsorted(at, image.clamp(0, 1).contiguous(), right=True).clamp(1, 5) - 1
    share = (image.clamp(0, 1) - at[place]) / (at[place + 1] - at[place])
    inside = to[place] + share * (to[place + 1] - to[place])
    if modality in appearance.BRIGHT_ON:
        lateral, near = (
            ((structures == left) | (structures == left + 1)).float()[None, None]
            for left in (Structure.LEFT_VENTRICLE, Structure.LEFT_WHITE)
        )
        bright = appearance.draw_rims_and_caps(lateral, near, generator, spacing)[0, 0]
        inside = inside + appearance.BRIGHT_ON[modality] * abs(grey - white) * bright
    return torch.where(structures > 0, inside / max(fluid, grey, white), anything)


def _interpolate(image: Tensor, place: Tensor) -> Tensor:
    """Interpolate linearly, 0 outside.

    Args:
        image: (m, k, j, i).
        place: (3, k, j, i) in mm from the centre.
    """
    half = torch.tensor(image.shape[1:], device=image.device).reshape(3, 1, 1, 1) * SPACING_MM / 2
    grid = (
        (place / half).flip(0).movedim(0, -1)[None]
    )  # grid_sample wants (x, y, z) from −1 to 1, edge to edge
    return functional.grid_sample(image[None], grid, align_corners=False)[0]


def _randomise_contrast(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness by a random curve; air stays dark.

    Args:
        images: (b, 1, k, j, i), 0 to 1.
        generator: the only source of randomness.
    """
    batch = images.shape[0]
    curve = uniform((batch, KNOTS + 1), 0.05, 1.0, generator)
    curve[:, 0] = 0
    at = images.clamp(0, 1 - 1e-4) * KNOTS
    left = at.long()
    flat, share = left.flatten(1), (at - left).flatten(1)
    low, high = curve.gather(1, flat), curve.gather(1, flat + 1)
    return (low + share * (high - low)).reshape(images.shape)
