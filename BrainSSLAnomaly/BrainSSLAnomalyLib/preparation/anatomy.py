"""The anatomy in the patient: priors of each tissue, regions and zones.

Two sources are joined: the atlas, registered to the head, and the parcellation by the anatomy
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import (
    COARSE_GRID,
    INTRACRANIAL,
    Structure,
    Tissue,
    Zone,
)
from ..core.grid import Grid
from ..core.resampling import resample
from ..core.study import Modality, Volume
from .alignment import AlignedStudy
from .parcellation import Parcellation, correct_regions, estimate_pose, tissue_probabilities
from .quality import check_likeness
from .registration import register_to_template
from .template import Template
from .tissues import TissueIntensities

ATLAS_WEIGHT = 0.5
"""Of the atlas in the prior of each tissue; the rest is that of the parcellation."""

VENTRICLE_REACH_MM = 15.0
"""Without a parcellation, fluid within this distance of the atlas's ventricles is ventricle."""

ZONE_WIDTH_MM = 3.0
"""White matter this near to a ventricle is periventricular, to the cortex juxtacortical."""

FAR_MM = 60.0
"""Distance to a tissue that is not there."""

_ZONE_OF_TISSUE = (
    Zone.DEEP_WHITE,
    Zone.CORTEX,
    Zone.DEEP_GREY,
    Zone.DEEP_GREY,
    Zone.VENTRICLE,
    Zone.CSF,
    Zone.BRAINSTEM,
    Zone.CEREBELLUM,
    Zone.CEREBELLUM,
)

_MIN_PRIOR = np.full(len(INTRACRANIAL), 0.25, np.float32)
_MIN_PRIOR[[Tissue.WHITE, Tissue.VENTRICLE, Tissue.CSF]] = (0.0, 0.05, 0.05)
"""A tissue whose prior is below this does not name a voxel's place."""


@dataclass(frozen=True)
class PlacedAnatomy:
    """Hold the anatomy on the canonical grid of a patient.

    Attributes:
        template: the bundled atlas.
        template_to_reference: (4, 4), RAS mm of the template → RAS mm of the reference scan.
        parcellation: by the anatomy network, or None for the atlas alone.
        priors: (11, k, j, i) float32, probability of each `Tissue`, on the canonical grid.
    """

    template: Template
    template_to_reference: NDArray[np.float64]
    parcellation: Parcellation | None
    priors: NDArray[np.float32]

    @property
    def intracranial(self) -> NDArray[np.float32]:
        """Return the probability of being inside the skull, on the canonical grid."""
        probability: NDArray[np.float32] = self.priors[list(INTRACRANIAL)].sum(0)
        return probability


def resample_atlas(
    template: Template, grid: Grid, template_to_reference: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the (11, k, j, i) probability of each `Tissue` by the atlas, on a patient's grid."""
    to_template = np.linalg.inv(template_to_reference)
    affine = COARSE_GRID.affine
    out = np.empty((len(template.tissues), *grid.shape), np.float32)
    for row, tissue in zip(out, template.tissues, strict=True):
        row[:] = resample(Volume(tissue, affine), grid, to_template)
    return out


def place_anatomy(
    aligned: AlignedStudy, template: Template, parcellation: Parcellation | None
) -> PlacedAnatomy:
    """Register the atlas to the patient and join it with the parcellation.

    Raises:
        PreparationFailed: the scan does not resemble a brain.
    """
    reference = aligned.study.reference
    pose = estimate_pose(parcellation, template) if parcellation is not None else None
    world = register_to_template(
        reference.volume,
        reference.modality,
        template,
        with_skull=not aligned.is_stripped,
        pose=pose,
    )
    check_likeness(reference.volume, reference.modality, world, template)
    priors = resample_atlas(template, aligned.grid, world)
    if parcellation is not None:
        predicted = tissue_probabilities(parcellation, priors)
        priors *= ATLAS_WEIGHT
        priors += (1 - ATLAS_WEIGHT) * predicted
    return PlacedAnatomy(template, world, parcellation, priors)


def map_regions(anatomy: PlacedAnatomy, reference: Grid, canonical: Grid) -> NDArray[np.uint8]:
    """Return the codes of `Region` on the grid of the reference.

    Args:
        anatomy: of the patient.
        reference: grid of the reference scan.
        canonical: grid of the parcellation.
    """
    atlas = anatomy.template.region_volume
    to_template = np.linalg.inv(anatomy.template_to_reference)
    if anatomy.parcellation is None:
        return resample(atlas, reference, to_template, nearest=True).astype(np.uint8)
    coarse = resample(atlas, canonical, to_template, nearest=True).astype(np.uint8)
    corrected = Volume(correct_regions(anatomy.parcellation, coarse), canonical.affine)
    return resample(corrected, reference, nearest=True).astype(np.uint8)


def map_ventricles(anatomy: PlacedAnatomy, grid: Grid) -> NDArray[np.bool_]:
    """Return where fluid is ventricle: sulci and cysts keep their distance from ventricles."""
    if anatomy.parcellation is not None:
        ventricles = anatomy.parcellation.probability_of(
            Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, Structure.MIDLINE_VENTRICLES
        )
        inside: NDArray[np.bool_] = resample(ventricles, grid) > 0.5
        return inside
    world = anatomy.template_to_reference
    stretch = float(np.cbrt(np.linalg.det(world[:3, :3])))
    distance = Volume(anatomy.template.ventricle_mm, COARSE_GRID.affine)
    away = resample(distance, grid, np.linalg.inv(world), fill=FAR_MM)
    near: NDArray[np.bool_] = away * stretch < VENTRICLE_REACH_MM
    return near


def classify_tissue(
    priors: NDArray[np.float32],
    posterior: NDArray[np.float32],
    images: Mapping[Modality, NDArray[np.float32]],
    intensities: Mapping[Modality, TissueIntensities],
) -> NDArray[np.uint8]:
    """Return the `Tissue` that names each voxel's place.

    A lesion resembles no tissue, and so scores highest as the one that varies most: a tissue that
    the anatomy excludes is excluded here. What is brighter than white matter on FLAIR is no fluid,
    unless the anatomy is sure of it, as of choroid plexus and flow within the ventricles.

    Args:
        priors: (9, k, j, i), of the anatomy alone.
        posterior: (9, k, j, i), given the images.
        images: modality → (k, j, i) normalised.
        intensities: modality → mean and SD of each tissue, in the units of ``images``.
    """
    weight = np.where(priors >= _MIN_PRIOR[:, None, None, None], posterior, 0)
    if Modality.FLAIR in images:
        fluid = [Tissue.VENTRICLE, Tissue.CSF]
        white = intensities[Modality.FLAIR].mean[Tissue.WHITE]
        is_bright = images[Modality.FLAIR] > white
        weight[fluid] *= ~is_bright | (priors[fluid].sum(0) >= 0.5)
    return _likeliest(weight)


def _likeliest(weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the number of the largest of some maps (n, k, j, i), the first of equal ones.

    Map by map: ``argmax`` over the first axis steps through memory five times as slowly.
    """
    best = weight[0].copy()
    number = np.zeros(best.shape, np.uint8)
    for n in range(1, len(weight)):
        np.copyto(number, np.uint8(n), where=weight[n] > best)
        np.maximum(best, weight[n], out=best)
    return number


def map_zones(
    tissue: NDArray[np.uint8],
    ventricles: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    spacing: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """Return the codes of `Zone`, from the patient's own tissues and their distances.

    Args:
        tissue: (k, j, i) codes of `Tissue`.
        ventricles: (k, j, i) where fluid is ventricle.
        brain: (k, j, i) brain mask.
        spacing: along (k, j, i), in mm.
    """
    zones = np.array(_ZONE_OF_TISSUE, np.uint8)[tissue]
    to_ventricle = _distance((tissue == Tissue.VENTRICLE) & ventricles, spacing)
    to_cortex = _distance(ndimage.binary_opening(tissue == Tissue.CORTEX), spacing)
    white = zones == Zone.DEEP_WHITE
    zones[white & (to_cortex <= ZONE_WIDTH_MM)] = Zone.JUXTACORTICAL
    zones[white & (to_ventricle <= ZONE_WIDTH_MM)] = Zone.PERIVENTRICULAR
    return np.where(brain, zones, Zone.OUTSIDE).astype(np.uint8)


def _distance(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    if not mask.any():
        return np.full(mask.shape, FAR_MM, np.float32)
    distance: NDArray[np.float32] = ndimage.distance_transform_edt(~mask, sampling=spacing)
    return distance.astype(np.float32)
