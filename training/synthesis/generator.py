"""Unlimited healthy scans in any contrast from label maps, on a processor or a GPU, by torch alone.

    warp the labels → paint tissues → acquire like a scanner

The same seed gives the same scans on one kind of device. After Billot et al., SynthSeg, Medical
Image Analysis 86 (2023) 102789.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from torch import Tensor
from torch.nn import functional

from ..data.label_archive import LabelArchive
from ..data.labels import freesurfer_tissue_table
from . import acquisition, appearance, atrophy
from .noise import chance, normal, smooth_field, uniform

LEFT_RIGHT = (
    *((n, n + 39) for n in (2, 3, 4, 5, 10, 11, 12, 13)),
    *(
        (7, 46),
        (8, 47),
        (17, 53),
        (18, 54),
        (25, 57),
        (26, 58),
        (28, 60),
        (30, 62),
        (31, 63),
        (136, 163),
        (137, 164),
    ),
)
"""FreeSurfer codes of the same structure on the left and on the right."""


@dataclass(frozen=True)
class GeneratorSettings:
    """How scans are drawn.

    Attributes:
        shape: (k, j, i) voxels of a sample.
        spacing: edge of the cubic voxels, in mm.
        modalities: channels, aligned; each acquired in its own way.
        rotation_degrees: standard deviation of the rotation about each axis.
        scaling: standard deviation of the logarithm of the scale along each axis.
        shear: standard deviation of the shear.
        shift_mm: standard deviation of the shift along each axis.
        offset_mm: (k, j, i), beside that, up to how far a sample lies from the middle of the head:
            for slabs.
        elastic: scale in mm → standard deviation in mm of the elastic deformation.
        at_random: share of scans with random instead of typical contrast.
        stripped: share of patients without skull.
        old: share of patients with wide ventricles and sulci.
        thickest_mm: of slices.
    """

    shape: tuple[int, int, int] = (96, 96, 96)
    spacing: float = 2.0
    modalities: tuple[Modality, ...] = (Modality.T1, Modality.T2, Modality.FLAIR)
    rotation_degrees: float = 15.0
    scaling: float = 0.08
    shear: float = 0.03
    shift_mm: float = 8.0
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    elastic: dict[float, float] = field(default_factory=lambda: {60.0: 3.0, 20.0: 1.5})
    at_random: float = 0.5
    stripped: float = 0.5
    old: float = 0.5
    thickest_mm: float = 8.0


Change = Callable[[Tensor, Tensor, Sequence[Modality], torch.Generator], tuple[Tensor, Tensor]]
"""A change of a patient before the scan.

From images (m, k, j, i), tissues (k, j, i) as `Tissue` + 1, their modalities and a generator to
changed images, and (m, k, j, i) bool, where each shows the change.
"""


@dataclass(frozen=True)
class Sample:
    """A batch of patients.

    Attributes:
        images: (b, m, k, j, i) float32, not negative, each scan with its median in the brain at 1.
        labels: (b, k, j, i) int64, index into the codes of the archive; 0 where nothing was
            acquired.
        brain: (b, 1, k, j, i) bool, inside the skull and acquired.
        changed: (b, m, k, j, i) bool, where a scan shows what healthy people do not have; all False
            without a `Change`.
        slicings: of every scan of every patient.
    """

    images: Tensor
    labels: Tensor
    brain: Tensor
    changed: Tensor
    slicings: list[list[acquisition.Slicing | None]]


class ScanGenerator:
    """Draws batches of patients from an archive of label maps."""

    def __init__(
        self,
        archive: LabelArchive,
        settings: GeneratorSettings,
        maps: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare the label maps on a device.

        Args:
            archive: whole-head label maps.
            settings: how scans are drawn.
            maps: which of the archive's maps; all by default. Hold some out to validate on.
            device: where to draw.
        """
        self.settings, self.codes, self.device = settings, archive.codes, torch.device(device)
        chosen = range(len(archive.maps)) if maps is None else maps
        self._maps = [torch.from_numpy(archive.maps[n]).to(self.device) for n in chosen]
        tissues = freesurfer_tissue_table()[archive.codes].astype(np.int64)
        self.tissue_of_label = torch.from_numpy(tissues).to(self.device)
        self._mirror = torch.from_numpy(_mirrored_labels(archive.codes)).to(self.device)

    def __call__(
        self, batch: int, generator: torch.Generator, change: Change | None = None
    ) -> Sample:
        """Draw patients.

        Args:
            batch: how many.
            generator: of the same device; the only source of randomness.
            change: made to a patient before the scan, so that scanner and noise treat it as they
                treat the rest.
        """
        s = self.settings
        labels = self.draw_labels(batch, generator)
        acquired = acquisition.draw_field_of_view(batch, s.shape, generator)
        labels = labels * acquired[:, 0]
        tissues = self.tissue_of_label[labels][:, None]
        inside = (tissues > 0) & (tissues <= Tissue.CEREBELLUM_CORTEX + 1)
        means = appearance.draw_mean_intensities(
            s.modalities, self.tissue_of_label, batch, generator, at_random=s.at_random
        )
        images = appearance.paint_labels(labels, means)
        images = appearance.add_normal_bright_regions(
            images, labels, self.codes, means, s.modalities, generator, s.spacing
        )
        images = appearance.add_texture(
            images, tissues > Tissue.CEREBELLUM_CORTEX + 1, generator, spacing=s.spacing
        )
        changed = torch.zeros(images.shape, dtype=torch.bool, device=images.device)
        if change is not None:
            for b in range(batch):
                images[b], changed[b] = change(images[b], tissues[b, 0], s.modalities, generator)
        images = acquisition.blur(
            images, uniform(images.shape[:2], 0.3, 0.8, generator)
        )  # partial volume
        images = acquisition.add_bias_field(images, generator, spacing=s.spacing)
        images = acquisition.change_gamma(images, generator, spread=0.15)
        images = acquisition.add_motion(images, generator)
        images = acquisition.add_ghosts(images, generator)
        cut = acquisition.draw_slicings(
            batch,
            len(s.modalities),
            s.shape,
            generator,
            spacing=s.spacing,
            thickest_mm=s.thickest_mm,
        )
        images = acquisition.acquire_slices(images, cut)
        images = acquisition.add_noise(images, generator) * acquired
        kept = ~chance((batch, 1, 1, 1, 1), s.stripped, generator) | self._strip(
            inside & (tissues != Tissue.CSF + 1), generator
        )
        return Sample(
            _scale_to_median(images * kept, inside), labels, inside, changed & inside, cut
        )

    def draw_labels(self, batch: int, generator: torch.Generator) -> Tensor:
        """Draw label maps, moved, scaled, sheared, bent, and mirrored half of the time.

        Returns:
            (b, k, j, i) int64.
        """
        out = torch.empty((batch, *self.settings.shape), dtype=torch.int64, device=self.device)
        for b, place in enumerate(draw_places(batch, self.settings, generator)):
            labels = self._maps[
                int(torch.randint(len(self._maps), (1,), generator=generator, device=self.device))
            ]
            found = sample_nearest(labels, place).long()
            if bool(chance((1,), self.settings.old, generator)):
                place = atrophy.widen_fluid_spaces(
                    place, self.tissue_of_label[found], generator, spacing=self.settings.spacing
                )
                found = sample_nearest(labels, place).long()
            mirrored = bool(chance((1,), 0.5, generator))
            out[b] = self._mirror[found].flip(2) if mirrored else found
        return out

    def _strip(self, parenchyma: Tensor, generator: torch.Generator) -> Tensor:
        """Return the brain as a stripping program leaves it.

        It is the parenchyma, closed by 6 mm, and a little too much or too little around it.
        """
        closing = max(1, round(6 / self.settings.spacing))
        reach = closing + int(torch.randint(-1, 3, (1,), generator=generator, device=self.device))
        wide = _dilate(parenchyma.float(), reach)
        return (1 - _dilate(1 - wide, closing)).bool()


def draw_places(batch: int, settings: GeneratorSettings, generator: torch.Generator) -> Tensor:
    """Draw where each voxel of a sample lies in the head that it is drawn from.

    Returns:
        (b, 3, k, j, i) in mm from the centre of that head.
    """
    s, device = settings, generator.device
    axes = [torch.arange(n, device=device) - (n - 1) / 2 for n in s.shape]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")) * s.spacing  # (3, k, j, i)
    bend = sum(
        mm * smooth_field(batch, 3, s.shape, scale / s.spacing, generator)
        for scale, mm in s.elastic.items()
    )
    reach = torch.tensor(s.offset_mm, device=device)
    moved = []
    for _ in range(batch):
        shift = s.shift_mm * normal((3,), generator) + reach * uniform((3,), -1, 1, generator)
        moved.append(
            (_affine(s, generator) @ grid.flatten(1)).reshape(grid.shape)
            + shift.reshape(3, 1, 1, 1)
        )
    return torch.stack(moved) + bend


def sample_nearest(array: Tensor, place: Tensor, spacing: float = 1.0) -> Tensor:
    """Return the nearest voxel at each place, 0 outside.

    Args:
        array: (k, j, i).
        place: (3, ...) in mm from its centre.
        spacing: of its voxels, in mm.
    """
    view = (3, *(1,) * (place.ndim - 1))
    limit = torch.tensor(array.shape, device=place.device).reshape(view)
    index = (place / spacing + (limit - 1) / 2).round().long()
    outside = ((index < 0) | (index >= limit)).any(0)
    k, j, i = index.clamp(min=torch.zeros_like(limit), max=limit - 1)
    return array[k, j, i] * ~outside


def _affine(settings: GeneratorSettings, generator: torch.Generator) -> Tensor:
    s, device = settings, generator.device
    x, y, z = (torch.deg2rad(s.rotation_degrees * normal((3,), generator))).tolist()
    skew = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], device=device)
    stretch = torch.diag(torch.exp(s.scaling * normal((3,), generator)))
    rotation: Tensor = torch.linalg.matrix_exp(skew)
    return rotation @ (stretch + s.shear * normal((3, 3), generator))


def _dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilate a mask by a cube of ``radius`` voxels, axis by axis."""
    for axis in range(3):
        width = [2 * radius + 1 if a == axis else 1 for a in range(3)]
        mask = functional.max_pool3d(mask, width, 1, [radius if a == axis else 0 for a in range(3)])
    return mask


def _mirrored_labels(codes: np.ndarray) -> np.ndarray:
    """Return for each label (n,) the index of the same structure on the other side, or its own."""
    other = {a: b for pair in LEFT_RIGHT for a, b in (pair, pair[::-1])}
    place = {int(c): n for n, c in enumerate(codes)}
    return np.array(
        [place.get(other.get(int(c), int(c)), n) for n, c in enumerate(codes)], np.int64
    )


def _scale_to_median(images: Tensor, inside: Tensor) -> Tensor:
    """Divide each scan by the median of its brain."""
    scale = torch.ones(images.shape[:2], device=images.device)
    for b in range(images.shape[0]):
        if inside[b].any():
            scale[b] = images[b][:, inside[b, 0]].median(1).values.clamp(min=1e-3)
    return images / scale[:, :, None, None, None]
