"""A study made ready for scoring: aligned, bias-free, normalised, with its anatomy, and the way to the template and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.anatomy import TEMPLATE_AFFINE, TEMPLATE_SHAPE, PatientAnatomy
from ..core.resampling import resample
from ..core.study import Modality, Study, Volume
from .tissues import TissueIntensities


@dataclass(frozen=True)
class PreparedStudy:
    """What scoring needs. Arrays are (k, j, i) on the reference grid unless said otherwise.

    Attributes:
        study: what came in.
        brain_mask: bool, inside the skull, whole grid.
        box: the brain's bounding box; everything marked "box" below is cropped to it.
        images: modality → float32, box, normalised: parenchyma has mean 0 and spread 1.
        intensities: modality → mean and spread of every tissue, in the units of ``images``.
        priors: (9, ...) float32, box, probability of each intracranial tissue at that place, summing to 1.
        posterior: (9, ...) float32, box, the same after having seen the images.
        edge_mm: float32, box, distance to the edge of the brain mask.
        background: bool, box, voxels that some scan leaves at its lowest value: nothing was measured there.
        anatomy: regions and zones, whole grid.
        template_to_reference: (4, 4), RAS mm of the template → RAS mm of the reference scan.
        reference_to_scan: modality → (4, 4), RAS mm of the reference → RAS mm of that scan.
        stripped: whether the scans came without skull.
        seconds: per step.
    """

    study: Study
    brain_mask: NDArray[np.bool_]
    box: tuple[slice, slice, slice]
    images: Mapping[Modality, NDArray[np.float32]]
    intensities: Mapping[Modality, TissueIntensities]
    priors: NDArray[np.float32]
    posterior: NDArray[np.float32]
    edge_mm: NDArray[np.float32]
    background: NDArray[np.bool_]
    anatomy: PatientAnatomy
    template_to_reference: NDArray[np.float64]
    reference_to_scan: Mapping[Modality, NDArray[np.float64]]
    stripped: bool
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def reference(self) -> Volume:
        """The grid of the results."""
        return self.study.reference.volume

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Brain mask, box."""
        return self.brain_mask[self.box]

    @property
    def box_affine(self) -> NDArray[np.float64]:
        """(i, j, k) → RAS mm of the box."""
        return cropped(self.reference, self.box).affine

    def whole(self, cropped: NDArray) -> NDArray:
        """A box array on the whole reference grid, 0 outside."""
        array = np.zeros((*cropped.shape[:-3], *self.brain_mask.shape), cropped.dtype)
        inside = (Ellipsis, *self.box)
        array[inside] = cropped
        return array

    def to_template(self, modality: Modality) -> NDArray[np.float32]:
        """The normalised image on the 1 mm template grid, 0 outside the brain."""
        image = self.whole(np.where(self.brain, self.images[modality], 0).astype(np.float32))
        return resample(
            Volume(image, self.reference.affine),
            TEMPLATE_SHAPE,
            TEMPLATE_AFFINE,
            self.template_to_reference,
        )

    def to_reference(self, array: NDArray, *, nearest: bool = False) -> NDArray[np.float32]:
        """Anything on the template grid, on the reference grid: the exact inverse of the way there."""
        volume = Volume(np.asarray(array, np.float32), TEMPLATE_AFFINE)
        world = np.linalg.inv(self.template_to_reference)
        interpolation = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
        return resample(
            volume,
            self.reference.array.shape,
            self.reference.affine,
            world,
            interpolation=interpolation,
        )


def cropped(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    """The part of a volume inside a box of slices (k, j, i), in its old place."""
    affine = volume.affine.copy()
    affine[:3, 3] = (volume.affine @ [box[2].start, box[1].start, box[0].start, 1.0])[:3]
    return Volume(volume.array[box], affine)
