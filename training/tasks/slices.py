"""Slices of patients for the anomaly network, healthy and with anomalies, in any orientation.

Healthy slabs are drawn in chunks and used a few times, each time with other anomalies and other
slices: on a processor, drawing a slab takes longer than learning from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.channels import CHANNELS, MAX_INTENSITY, MIN_INTENSITY
from torch import Tensor

from ..data.heads import HealthyHeads
from ..data.label_archive import LabelArchive
from ..synthesis import anomalies
from ..synthesis.acquisition import Slicing
from ..synthesis.generator import GeneratorSettings, ScanGenerator
from ..synthesis.heads import HeadSampler, tissues_of_structures
from ..synthesis.noise import chance, normal, uniform

SLICES_MM = (55.0, 75.0, 60.0)
"""How far from the middle of the head slices are taken: along superior, anterior, right."""

MODALITY_SHARES = {Modality.FLAIR: 0.3, Modality.T2: 0.35, Modality.T1: 0.35}
"""How often each contrast is the one that is surely present; others are added by chance."""

ALONE = 0.5
"""Share of slices in which one contrast alone is present."""

LEAST_BRAIN, TRIES = 0.08, 5
"""Part of a slab that should be brain; otherwise it is drawn anew, at most so often."""

GAIN, SHIFT = (0.95, 1.5), 0.1
"""Factors and standard deviation of the shift of normalised scans.

The detector takes mean and SD from voxels that are surely white matter or cortex; labels also hold
voxels that are half fluid, so that the SD is larger: without the gain, fluid of real T1 would lie
at −2.5 in training and at −3.5 in detection.
"""

IGNORED = -1
"""Tissue of voxels without a tissue to learn."""


@dataclass(frozen=True)
class SliceSettings:
    """What is drawn.

    Attributes:
        crop: voxels a side of a slice.
        spacing: in mm.
        slab: voxels across a slab.
        every: of its slices one of so many is used.
        patients: slabs a batch, besides the trainer's batch.
        reuse: how often a slab is used, each time with other anomalies.
        at_random: share of scans with any contrast at all.
        real: share of slabs from real T1 heads.
        elderly: share of slabs from real T1 and FLAIR of old people, in which some voxels are
            excluded.
        held_out: last label maps, for validation.
        without: kinds of anomaly never drawn.
    """

    crop: int = 160
    spacing: float = 1.0
    slab: int = 17
    every: int = 4
    patients: int = 4
    reuse: int = 1
    at_random: float = 0.4
    real: float = 0.0
    elderly: float = 0.0
    held_out: int = 3
    without: tuple[str, ...] = ()


class Batch(NamedTuple):
    """Slices, b of them, m modalities in the order of `CHANNELS`.

    Attributes:
        healthy: (b, m, j, i), parenchyma with a mean of about 0 and an SD of about 1.
        changed: (b, m, j, i), the same with anomalies.
        anomalous: (b, m, j, i) bool, where each modality shows an anomaly.
        inside: (b, 1, j, i) float, the brain, without what is excluded from learning.
        tissues: (b, j, i) int64, `Tissue`, or `IGNORED`.
        present: (b, m) float, modalities that the network is given.
        seed: for what is drawn in the loss.
    """

    healthy: Tensor
    changed: Tensor
    anomalous: Tensor
    inside: Tensor
    tissues: Tensor
    present: Tensor
    seed: int

    @property
    def truth(self) -> Tensor:
        """Anomalies that the present modalities show, (b, 1, j, i) float."""
        return (self.anomalous * self.present[:, :, None, None]).amax(1, keepdim=True)


class Slab(NamedTuple):
    """A few neighbouring slices of a healthy patient.

    Attributes:
        brain: the patient.
        learned: (k, j, i) bool, the brain where it is known to be healthy.
        axis: across the slab.
        slicings: how each contrast was cut.
    """

    brain: anomalies.Brain
    learned: Tensor
    axis: int
    slicings: Sequence[Slicing | None]


class SliceSampler:
    """Draws batches of slices."""

    def __init__(
        self,
        archive: LabelArchive,
        settings: SliceSettings,
        heads: HealthyHeads | None = None,
        elderly: HealthyHeads | None = None,
        *,
        held_out: bool = False,
    ) -> None:
        """Prepare what is drawn from.

        Args:
            archive: label maps.
            settings: what is drawn.
            heads: real healthy heads, where ``settings.real`` is not 0.
            elderly: T1 and FLAIR of old people, where ``settings.elderly`` is not 0.
            held_out: draw from the label maps kept for validation, without real heads.
        """
        self._archive, self._settings, self._held_out = archive, settings, held_out
        shares = ((elderly, settings.elderly), (heads, settings.real))
        self._sources = [
            (source, share) for source, share in shares if source is not None and not held_out
        ]
        self._scans: dict[tuple[int, bool, torch.device], ScanGenerator] = {}
        self._real: dict[tuple[int, int, torch.device], HeadSampler] = {}
        self._chunk: list[Slab] = []
        self._seed, self._used, self._size = 0, 0, 0

    def state(self) -> dict[str, int]:
        """Return what is needed, besides the generator's state, to go on with the same slabs."""
        return {"seed": self._seed, "used": self._used, "size": self._size}

    def restore(self, state: dict[str, int], device: torch.device) -> None:
        """Go on where `state` was taken."""
        self._seed, self._used, self._size = state["seed"], state["used"], state["size"]
        if self._used:
            self._fill(device)

    def __call__(self, patients: int, generator: torch.Generator) -> Batch:
        """Draw slices of ``patients`` times as many slabs as the settings say."""
        s, device = self._settings, generator.device
        count = patients * s.patients
        if self._used == 0:
            self._seed, self._size = (
                int(torch.randint(2**31, (1,), generator=generator, device=device)),
                count * s.reuse,
            )
            self._fill(device)
        self._used = (self._used + 1) % s.reuse**2  # that many slabs, each used that often
        chosen = torch.randperm(len(self._chunk), generator=generator, device=device)[
            :count
        ].tolist()
        parts = [self._draw_slices(self._chunk[n], generator) for n in chosen]
        healthy, changed, anomalous, inside, tissues, exists = (
            torch.cat(p) for p in zip(*parts, strict=True)
        )
        seed = int(torch.randint(2**31, (1,), generator=generator, device=device))
        return Batch(
            healthy, changed, anomalous, inside, tissues, _draw_present(exists, generator), seed
        )

    def _fill(self, device: torch.device) -> None:
        """Draw the slabs that belong to the seed."""
        generator = torch.Generator(device).manual_seed(self._seed)
        self._chunk = [self._draw_slab_with_brain(generator) for _ in range(self._size)]

    def _draw_slab_with_brain(self, generator: torch.Generator) -> Slab:
        for _ in range(TRIES):
            slab = self._draw_slab(generator)
            if float(slab.brain.inside.float().mean()) > LEAST_BRAIN:
                break
        return slab

    def _draw_slab(self, generator: torch.Generator) -> Slab:
        s, device = self._settings, generator.device
        axis = (0, 0, 1, 2)[int(torch.randint(4, (1,), generator=generator, device=device))]
        source, drawn = None, float(uniform((1,), 0, 1, generator))
        for n, (_, share) in enumerate(self._sources):
            if source is None and drawn < share:
                source = n
            drawn -= share
        if source is not None:
            head = self._head_sampler(source, axis, device)(1, generator)
            image, modalities, cut = head.images[0], head.modalities[0], head.slicings[0]
            tissues, inside = (
                tissues_of_structures(head.structures[0]),
                (head.structures[0] > 0) & (image > 0).all(0),
            )
            learned = inside & ~head.excluded[0]
        else:
            first = Modality.T1C if bool(chance((1,), 0.2, generator)) else Modality.T1
            density = bool(chance((1,), 0.25, generator))
            modalities = (first, Modality.PD if density else Modality.T2, Modality.FLAIR)
            scans = self._scan_generator(axis, density, device)
            sample = scans(1, generator)
            image, tissues = sample.images[0], scans.tissue_of_label[sample.labels[0]]
            inside, cut = sample.brain[0, 0] & (image.amax(0) > 0), sample.slicings[0]
            learned = inside
        image = _normalise(image, tissues, inside, learned)
        return Slab(
            anomalies.Brain(image, tissues, inside, modalities, s.spacing), learned, axis, cut
        )

    def _generator_settings(self, axis: int, modalities: tuple[Modality, ...]) -> GeneratorSettings:
        s = self._settings
        shape, offset = [s.crop, s.crop, s.crop], [0.0, 0.0, 0.0]
        shape[axis], offset[axis] = s.slab, SLICES_MM[axis]
        return GeneratorSettings(
            (shape[0], shape[1], shape[2]),
            s.spacing,
            modalities,
            rotation_degrees=10.0,
            offset_mm=(offset[0], offset[1], offset[2]),
            at_random=s.at_random,
            stripped=1.0,
        )

    def _scan_generator(self, axis: int, density: bool, device: torch.device) -> ScanGenerator:
        key = (axis, density, device)
        if key not in self._scans:
            count = len(self._archive.maps)
            chosen = (
                range(count - self._settings.held_out, count)
                if self._held_out
                else range(count - self._settings.held_out)
            )
            modalities = (Modality.T1, Modality.PD if density else Modality.T2, Modality.FLAIR)
            self._scans[key] = ScanGenerator(
                self._archive, self._generator_settings(axis, modalities), chosen, device
            )
        return self._scans[key]

    def _head_sampler(self, source: int, axis: int, device: torch.device) -> HeadSampler:
        key = (source, axis, device)
        if key not in self._real:
            heads, _ = self._sources[source]
            settings = self._generator_settings(axis, heads.modalities)
            self._real[key] = HeadSampler(heads, settings, range(len(heads.images)), device)
        return self._real[key]

    def _draw_slices(self, slab: Slab, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw anomalies in a slab, and take some of its slices.

        Returns:
            Healthy, changed, anomalous, inside, tissues and existing contrasts.
        """
        s, brain, axis = self._settings, slab.brain, slab.axis
        device = brain.images.device
        acquire = anomalies.make_acquisition(slab.slicings, generator)
        changed, anomalous = anomalies.add(brain, generator, without=s.without, acquire=acquire)
        healthy, changed = widen((brain.images, changed), brain.inside, generator)
        start = int(torch.randint(max(1, s.every), (1,), generator=generator, device=device))
        at = torch.arange(start, s.slab, s.every, device=device)[: max(1, s.slab // s.every)]
        places = [CHANNELS.index(m) for m in brain.modalities]

        def cut(volume: Tensor) -> Tensor:
            return volume.index_select(axis + 1, at).movedim(axis + 1, 0)

        def all_channels(volume: Tensor) -> Tensor:
            full = torch.zeros(
                (len(at), len(CHANNELS), s.crop, s.crop), device=device, dtype=volume.dtype
            )
            full[:, places] = cut(volume)
            return full

        grain = (
            0.1
            * uniform((1,), 0, 1, generator)
            * normal((len(at), len(CHANNELS), s.crop, s.crop), generator)
        )
        grain = grain * cut(brain.inside[None].float())
        tissues = torch.where(
            slab.learned & (brain.tissues <= Tissue.CEREBELLUM_CORTEX + 1),
            brain.tissues - 1,
            IGNORED,
        )
        exists = torch.zeros((len(at), len(CHANNELS)), device=device)
        exists[:, places] = 1
        given = (all_channels(changed) + grain).clamp(MIN_INTENSITY, MAX_INTENSITY)
        inside = cut(slab.learned[None].float())
        return (
            all_channels(healthy),
            given,
            all_channels(anomalous & slab.learned),
            inside,
            cut(tissues[None])[:, 0],
            exists,
        )


def _normalise(images: Tensor, tissues: Tensor, inside: Tensor, healthy: Tensor) -> Tensor:
    """Scale parenchyma that is known to be healthy to mean 0 and SD 1; 0 outside the brain."""
    middle, scale = anomalies.measure_parenchyma(images, tissues, healthy)
    return ((images - middle) / scale * inside).clamp(MIN_INTENSITY, MAX_INTENSITY)


def widen(scans: Sequence[Tensor], inside: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Scale normalised scans, healthy and changed alike, to the width that the detector finds.

    Args:
        scans: each (m, k, j, i).
        inside: (k, j, i) bool; scans are 0 outside it.
        generator: the only source of randomness.
    """
    count = (scans[0].shape[0], 1, 1, 1)
    gain, shift = uniform(count, *GAIN, generator), SHIFT * normal(count, generator)
    return [((scan * gain + shift) * inside).clamp(MIN_INTENSITY, MAX_INTENSITY) for scan in scans]


def _draw_present(exists: Tensor, generator: torch.Generator) -> Tensor:
    """Draw which of the existing contrasts are present: one for sure, others by chance.

    Returns:
        (b, m) float.
    """
    count, device = len(exists), exists.device
    often = torch.tensor([MODALITY_SHARES.get(m, 0.2) for m in CHANNELS], device=device)
    sure = torch.multinomial(exists * often, 1, generator=generator)[:, 0]
    shown = exists * chance(exists.shape, 0.7, generator) * ~chance((count, 1), ALONE, generator)
    shown[torch.arange(count, device=device), sure] = 1
    return shown
