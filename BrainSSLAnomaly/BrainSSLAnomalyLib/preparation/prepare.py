"""Preparation: from a study as the scanner left it to a `PreparedStudy`, one function a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import INTRACRANIAL, PatientAnatomy, Tissue
from ..core.grid import Box, Grid, bounding_box, embed
from ..core.progress import Progress, StageClock, ignore_progress
from ..core.resampling import resample
from ..core.study import Modality, Study, Volume
from .alignment import AlignedStudy, align_scans
from .anatomy import (
    PlacedAnatomy,
    classify_tissue,
    map_regions,
    map_ventricles,
    map_zones,
    place_anatomy,
    resample_atlas,
)
from .bias_field import correct_bias_field, estimate_log_bias_field
from .brain_mask import mask_from_probability
from .canonical import canonical_copy
from .parcellation import AnatomyPredictor, Parcellation, predict_parcellation
from .prepared import PreparedStudy
from .quality import check_brain_volume, check_scans
from .template import load_template
from .tissues import TissueFit, TissueIntensities, fit_tissues

ALIGN = "Aligning the scans"
PARCELLATE = "Segmenting the anatomy"
REGISTER = "Registering to the template"
CORRECT = "Correcting the bias field"
EXTRACT = "Extracting the brain"
MEASURE = "Measuring the tissues"

BIAS_SPACING_MM = 4.0
"""Of the copies from which the bias field is estimated."""

BOX_MARGIN = 2
"""Voxels around the brain that belong to its bounding box."""


def prepare(
    study: Study,
    *,
    predictor: AnatomyPredictor | None = None,
    correct_bias: bool = True,
    progress: Progress = ignore_progress,
) -> PreparedStudy:
    """Align the scans, place the anatomy, correct the bias field, extract the brain, normalise.

    Args:
        study: the scans of one patient.
        predictor: the anatomy network; the atlas alone if None.
        correct_bias: estimate and correct the bias field (N4).
        progress: receives the stage and the fraction done.

    Raises:
        UnsuitableScan: a scan holds no image.
        PreparationFailed: what was found cannot be a brain.
    """
    check_scans(study)
    clock = StageClock(progress, _expected_seconds(study, predictor is not None))
    with clock.stage(ALIGN):
        aligned = align_scans(study)
    with clock.stage(PARCELLATE):
        parcellation = parcellate(aligned, predictor) if predictor is not None else None
    with clock.stage(REGISTER):
        anatomy = place_anatomy(aligned, load_template(), parcellation)
    with clock.stage(CORRECT):
        corrected = correct_scans(aligned, anatomy, enabled=correct_bias)
    with clock.stage(EXTRACT):
        brain = extract_brain(aligned, anatomy, corrected)
    with clock.stage(MEASURE):
        fit = fit_brain_tissues(corrected, anatomy, brain)
        images = normalise_images(aligned, corrected, brain, fit)
        maps = map_tissues(aligned, anatomy, brain, fit)
        names = name_places(aligned, anatomy, brain, images, maps)
    return PreparedStudy(
        study=study,
        brain_mask=brain.mask,
        box=brain.box,
        images=images.images,
        intensities=images.intensities,
        priors=maps.priors,
        posterior=maps.posterior,
        edge_mm=maps.edge_mm,
        background=images.background,
        anatomy=names,
        template_to_reference=anatomy.template_to_reference,
        reference_to_scan=aligned.reference_to_scan,
        is_stripped=aligned.is_stripped,
        times=clock.times,
    )


def _expected_seconds(study: Study, with_network: bool) -> dict[str, float]:
    """Return the seconds that each stage is expected to take, for the progress bar."""
    count = len(study.modalities)
    return {
        ALIGN: 3.0 * (count - 1) + 0.01,
        PARCELLATE: 2.0 * with_network + 0.01,
        REGISTER: 3,
        CORRECT: count,
        EXTRACT: 2,
        MEASURE: 1 + count,
    }


def parcellate(aligned: AlignedStudy, predictor: AnatomyPredictor) -> Parcellation:
    """Predict the anatomy from one scan: the T1 if there is one, else the reference.

    On the elderly of the training data a T1 alone agrees with their labels as well as the mean of
    T1 and FLAIR does (``docs/experiments/2026-11-28-speed.md``).
    """
    has_t1 = Modality.T1 in aligned.scans
    modality = Modality.T1 if has_t1 else aligned.study.reference.modality
    return predict_parcellation(predictor, aligned.scans[modality], is_stripped=aligned.is_stripped)


@dataclass(frozen=True)
class CorrectedScans:
    """Hold bias-free scans.

    Attributes:
        log_fields: modality → logarithm of the bias field on a coarse grid, or None.
        scans: modality → corrected scan on the canonical grid.
    """

    log_fields: Mapping[Modality, Volume | None]
    scans: Mapping[Modality, Volume]


def correct_scans(
    aligned: AlignedStudy, anatomy: PlacedAnatomy, *, enabled: bool
) -> CorrectedScans:
    """Estimate the bias field of every scan inside the brain, and divide it out."""
    if aligned.stripped_brain is not None:
        rough = _on_canonical_grid(aligned.stripped_brain, aligned) > 0.9
    else:
        rough = anatomy.intracranial > 0.8
    fields = {m: _bias_field(scan, rough) if enabled else None for m, scan in aligned.scans.items()}
    corrected = {
        m: scan.with_array(correct_bias_field(scan, fields[m])) for m, scan in aligned.scans.items()
    }
    return CorrectedScans(fields, corrected)


def _bias_field(scan: Volume, mask: NDArray[np.bool_]) -> Volume | None:
    small = canonical_copy(scan, BIAS_SPACING_MM)
    inside = resample(scan.with_array(mask.astype(np.float32)), small.grid) > 0.9
    return estimate_log_bias_field(small, small.with_array(inside))


@dataclass(frozen=True)
class ExtractedBrain:
    """Hold the brain mask.

    Attributes:
        mask: (k, j, i) bool on the grid of the reference.
        canonical: (k, j, i) bool on the canonical grid.
        box: bounding box of ``mask``, with a margin.
        box_grid: grid of the box.
    """

    mask: NDArray[np.bool_]
    canonical: NDArray[np.bool_]
    box: Box
    box_grid: Grid


def extract_brain(
    aligned: AlignedStudy, anatomy: PlacedAnatomy, corrected: CorrectedScans
) -> ExtractedBrain:
    """Extract the brain: that of a stripped scan, else the intracranial voxels of a tissue fit.

    Raises:
        PreparationFailed: the mask has an impossible size.
    """
    reference = aligned.reference.grid
    if aligned.stripped_brain is not None:
        mask = aligned.stripped_brain
        canonical = _on_canonical_grid(mask, aligned) > 0.5
    else:
        canonical = mask_from_probability(_intracranial_probability(aligned, anatomy, corrected))
        soft = ndimage.gaussian_filter(canonical.astype(np.float32), 0.7)
        mask = resample(Volume(soft, aligned.grid.affine), reference) > 0.5
    check_brain_volume(mask, reference)
    box = bounding_box(mask, (BOX_MARGIN, BOX_MARGIN, BOX_MARGIN))
    return ExtractedBrain(mask, canonical, box, reference.crop(box))


def _intracranial_probability(
    aligned: AlignedStudy, anatomy: PlacedAnatomy, corrected: CorrectedScans
) -> Volume:
    """Return the probability of being inside the skull, from a tissue fit of the whole head."""
    prior = anatomy.intracranial
    near = prior > 0.02
    scans = {m: scan.array[near] for m, scan in corrected.scans.items()}
    fit = fit_tissues(scans, anatomy.priors[:, near], with_skull=True)
    inside = np.zeros(aligned.grid.shape, np.float32)
    inside[near] = fit.posterior.sum(0)
    inside = np.where(prior > 0.995, np.maximum(inside, 0.6), inside)
    return Volume(inside, aligned.grid.affine)


def fit_brain_tissues(
    corrected: CorrectedScans, anatomy: PlacedAnatomy, brain: ExtractedBrain
) -> TissueFit:
    """Fit the intensities of the intracranial tissues inside the brain mask."""
    priors = anatomy.priors[:, brain.canonical].copy()
    priors[[Tissue.BONE, Tissue.SOFT]] = 0
    priors /= np.maximum(priors.sum(0), 1e-3)
    scans = {m: scan.array[brain.canonical] for m, scan in corrected.scans.items()}
    return fit_tissues(scans, priors, with_skull=False)


@dataclass(frozen=True)
class NormalisedImages:
    """Hold what is measured in each scan, on the box of the brain.

    Attributes:
        images: modality → (k, j, i) float32, parenchyma with mean 0 and SD 1.
        intensities: modality → mean and SD of every tissue, in the units of ``images``.
        background: (k, j, i) bool, voxels that some scan leaves at its lowest value.
    """

    images: Mapping[Modality, NDArray[np.float32]]
    intensities: Mapping[Modality, TissueIntensities]
    background: NDArray[np.bool_]


def normalise_images(
    aligned: AlignedStudy, corrected: CorrectedScans, brain: ExtractedBrain, fit: TissueFit
) -> NormalisedImages:
    """Resample every scan on the box of the brain, without bias field, and normalise it."""
    images, intensities = {}, {}
    background = np.zeros(brain.box_grid.shape, bool)
    for modality in aligned.study.modalities:
        scan = aligned.study.scans[modality].volume
        lowest = scan.array.min()
        motion = aligned.reference_to_scan[modality]
        array = resample(scan, brain.box_grid, motion, fill=float(lowest))
        background |= array == lowest
        volume = Volume(array, brain.box_grid.affine)
        image = correct_bias_field(volume, corrected.log_fields[modality])
        offset, scale = fit.intensities[modality].normalisation
        images[modality] = ((image - offset) / scale).astype(np.float32)
        intensities[modality] = fit.intensities[modality].scaled(offset, scale)
    return NormalisedImages(images, intensities, background)


@dataclass(frozen=True)
class TissueMaps:
    """Hold tissue probabilities and the distance to the edge, on the box of the brain.

    Attributes:
        priors: (9, k, j, i) float32, of the intracranial tissues by the anatomy alone.
        posterior: (9, k, j, i) float32, given the images.
        edge_mm: (k, j, i) float32, distance to the edge of the brain mask.
    """

    priors: NDArray[np.float32]
    posterior: NDArray[np.float32]
    edge_mm: NDArray[np.float32]


def map_tissues(
    aligned: AlignedStudy, anatomy: PlacedAnatomy, brain: ExtractedBrain, fit: TissueFit
) -> TissueMaps:
    """Resample priors and posteriors of the intracranial tissues on the box of the brain."""
    intracranial = list(INTRACRANIAL)
    if anatomy.parcellation is not None:
        priors = _on_box(anatomy.priors[intracranial], aligned.grid, brain)
    else:
        world = anatomy.template_to_reference
        priors = resample_atlas(anatomy.template, brain.box_grid, world)[intracranial]
    priors /= np.maximum(priors.sum(0), 1e-3)
    posterior = np.zeros((len(INTRACRANIAL), *aligned.grid.shape), np.float32)
    posterior[:, brain.canonical] = fit.posterior
    padded = np.pad(brain.mask[brain.box], 1)  # the edge of the array is an edge of the brain
    edge = ndimage.distance_transform_edt(padded, sampling=brain.box_grid.spacing)
    inner = edge[1:-1, 1:-1, 1:-1].astype(np.float32)
    return TissueMaps(priors, _on_box(posterior, aligned.grid, brain), inner)


def name_places(
    aligned: AlignedStudy,
    anatomy: PlacedAnatomy,
    brain: ExtractedBrain,
    images: NormalisedImages,
    maps: TissueMaps,
) -> PatientAnatomy:
    """Return region and zone of every voxel, on the grid of the reference."""
    reference = aligned.reference.grid
    regions = np.where(brain.mask, map_regions(anatomy, reference, aligned.grid), 0)
    tissue = classify_tissue(maps.priors, maps.posterior, images.images, images.intensities)
    ventricles = map_ventricles(anatomy, brain.box_grid)
    zones = map_zones(tissue, ventricles, brain.mask[brain.box], brain.box_grid.spacing)
    return PatientAnatomy(regions.astype(np.uint8), embed(zones, brain.box, reference.shape))


def _on_canonical_grid(mask: NDArray[np.bool_], aligned: AlignedStudy) -> NDArray[np.float32]:
    """Return a mask on the grid of the reference, on the canonical grid, 0 to 1."""
    return resample(aligned.reference.with_array(mask.astype(np.float32)), aligned.grid)


def _on_box(maps: NDArray[np.float32], grid: Grid, brain: ExtractedBrain) -> NDArray[np.float32]:
    """Return maps (n, k, j, i) of a grid on the box of the brain."""
    out = np.empty((len(maps), *brain.box_grid.shape), np.float32)
    for row, m in zip(out, maps, strict=True):
        row[:] = resample(Volume(m, grid.affine), brain.box_grid)
    return out
