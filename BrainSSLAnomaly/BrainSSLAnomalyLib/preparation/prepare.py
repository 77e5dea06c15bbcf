"""From a study as the scanner left it to a `PreparedStudy`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import (
    COARSE_AFFINE,
    INTRACRANIAL,
    STRUCTURE_SPACING_MM,
    TEMPLATE_AFFINE,
    PatientAnatomy,
    Structure,
    Tissue,
    Zone,
)
from ..core.progress import Progress, StageClock, silent
from ..core.resampling import resample
from ..core.study import Modality, Study, Volume
from .bias_field import log_bias_field, remove_bias
from .brain_mask import skull_mask, stripped_mask
from .canonical import coarse_copy
from .parcellation import Look, SeenAnatomy, named, pose, see, tissues
from .prepared import PreparedStudy, cropped
from .quality import check_likeness, check_volume
from .registration import register_rigidly, register_to_template
from .template import Template, load_template
from .tissues import TissueFit, TissueIntensities, fit_tissues

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

_LEAST_PRIOR = np.full(len(INTRACRANIAL), 0.25, np.float32)
_LEAST_PRIOR[[Tissue.WHITE, Tissue.VENTRICLE, Tissue.CSF]] = (0.0, 0.05, 0.05)
"""Below this probability in the anatomy a tissue is not believed when a voxel's place is named."""

ATLAS_SHARE = 0.5
"""Of the atlas in the probability of each tissue, the rest being what the network has seen in the patient."""

_COREGISTER, _LOOK, _TEMPLATE, _BIAS, _BRAIN, _TISSUE = (
    "Aligning the scans",
    "Looking at the anatomy",
    "Registering to the template",
    "Correcting the bias field",
    "Extracting the brain",
    "Measuring the tissues",
)


def prepare(
    study: Study,
    *,
    look: Look | None = None,
    correct_bias: bool = True,
    progress: Progress = silent,
) -> PreparedStudy:
    """Align, extract the brain, correct the bias field, normalise, and place the anatomy in the patient.

    Args:
        study: the scans of one patient.
        look: the anatomy network; by the atlas alone if None.
        correct_bias: by N4.
        progress: told the stage and the fraction done.

    Raises:
        PreparationFailed: what was found cannot be a brain.
    """
    template = load_template()
    count = len(study.modalities)
    seconds = {
        _COREGISTER: 3.0 * (count - 1) + 0.01,
        _LOOK: 2.0 * count * (look is not None) + 0.01,
        _TEMPLATE: 3,
        _BIAS: count,
        _BRAIN: 2,
        _TISSUE: 1 + count,
    }
    clock = StageClock(progress, seconds)
    reference = study.reference
    masks = {m: stripped_mask(study.scans[m].volume) for m in study.modalities}
    own = masks[reference.modality]
    with clock.stage(_COREGISTER):
        motion = {m: _motion(study, m, masks) for m in study.modalities}
        grid = coarse_copy(reference.volume, STRUCTURE_SPACING_MM)
        scans = {m: _on_grid(study.scans[m].volume, motion[m], grid) for m in study.modalities}
    with clock.stage(_LOOK):
        seen = see(look, scans.values()) if look is not None else None
    with clock.stage(_TEMPLATE):
        start = pose(seen, template) if seen is not None else None
        world = register_to_template(
            reference.volume, reference.modality, template, skull=own is None, pose=start
        )
        check_likeness(reference.volume, reference.modality, world, template)
        priors = _priors_on(template, grid, world)
        if seen is not None:
            priors = ATLAS_SHARE * priors + (1 - ATLAS_SHARE) * tissues(seen, priors)
    with clock.stage(_BIAS):
        rough = _rough_mask(own, reference.volume, grid, priors)
        fields = {m: _field(scan, rough) if correct_bias else None for m, scan in scans.items()}
    with clock.stage(_BRAIN):
        flat = {m: _flattened(scan, fields[m]) for m, scan in scans.items()}
        mask, inside = _extract(flat, priors, own, reference.volume, grid)
        check_volume(mask, reference.volume)
    with clock.stage(_TISSUE):
        box = _bounding_box(mask)
        fit = _fit_inside(flat, priors, inside)
        crop = cropped(reference.volume, box)
        images, intensities = {}, {}
        background = np.zeros(crop.array.shape, bool)
        for m in study.modalities:
            offset, scale = fit.intensities[m].anchor
            scan = study.scans[m].volume
            aligned = resample(
                scan, crop.array.shape, crop.affine, motion[m], fill=float(scan.array.min())
            )
            background |= aligned == scan.array.min()
            image = remove_bias(crop.with_array(aligned), fields[m])
            images[m] = ((image - offset) / scale).astype(np.float32)
            intensities[m] = fit.intensities[m].scaled(offset, scale)
        near = (
            _on_crop(priors[list(INTRACRANIAL)], grid, crop)
            if seen
            else _priors_on(template, crop, world)[list(INTRACRANIAL)]
        )
        near /= np.maximum(near.sum(0), 1e-3)
        whole = np.zeros((len(INTRACRANIAL), *grid.array.shape), np.float32)
        whole[:, inside] = fit.posterior
        posterior = _on_crop(whole, grid, crop)
        edge = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=crop.spacing)[
            1:-1, 1:-1, 1:-1
        ].astype(np.float32)
        regions = _regions(template, reference.volume, grid, world, seen)
        ventricles = _ventricles(template, crop, world, seen)
        names = _names(near, posterior, _brighter_than_white(images, intensities))
        anatomy = PatientAnatomy(
            np.where(mask, regions, 0).astype(np.uint8),
            _zones(mask, box, crop.spacing, names, ventricles),
        )
    return PreparedStudy(
        study=study,
        brain_mask=mask,
        box=box,
        images=images,
        intensities=intensities,
        priors=near,
        posterior=posterior,
        edge_mm=edge,
        background=background,
        anatomy=anatomy,
        template_to_reference=world,
        reference_to_scan=motion,
        stripped=own is not None,
        seconds=clock.seconds,
    )


def _motion(
    study: Study, modality: Modality, masks: Mapping[Modality, NDArray | None]
) -> NDArray[np.float64]:
    reference, scan = study.reference, study.scans[modality]
    if scan is reference:
        return np.eye(4)
    a, b = reference.volume, scan.volume
    same_grid = a.array.shape == b.array.shape and np.allclose(a.affine, b.affine, atol=1e-3)
    if same_grid and masks[reference.modality] is not None and masks[modality] is not None:
        return np.eye(
            4
        )  # stripped scans that share a grid have been aligned by whoever stripped them
    return register_rigidly(b, a)


def _on_grid(scan: Volume, motion: NDArray, grid: Volume) -> Volume:
    copy = coarse_copy(scan, grid.spacing[0])
    return grid.with_array(
        resample(copy, grid.array.shape, grid.affine, motion, fill=float(copy.array.min()))
    )


def _priors_on(template: Template, grid: Volume, world: NDArray) -> NDArray[np.float32]:
    inverse = np.linalg.inv(world)
    return np.stack(
        [
            resample(Volume(t, COARSE_AFFINE), grid.array.shape, grid.affine, inverse)
            for t in template.tissues
        ]
    )


def _rough_mask(
    own: NDArray | None, reference: Volume, grid: Volume, priors: NDArray
) -> NDArray[np.bool_]:
    if own is not None:
        return (
            resample(reference.with_array(own.astype(np.float32)), grid.array.shape, grid.affine)
            > 0.9
        )
    return priors[list(INTRACRANIAL)].sum(0) > 0.8


def _field(scan: Volume, mask: NDArray[np.bool_]) -> Volume | None:
    small = coarse_copy(scan, 4.0)
    inside = (
        resample(scan.with_array(mask.astype(np.float32)), small.array.shape, small.affine) > 0.9
    )
    return log_bias_field(small, small.with_array(inside))


def _flattened(scan: Volume, field: Volume | None) -> Volume:
    return scan.with_array(remove_bias(scan, field))


def _extract(
    scans: Mapping[Modality, Volume],
    priors: NDArray,
    own: NDArray | None,
    reference: Volume,
    grid: Volume,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(mask on the reference grid, mask on the coarse grid)."""
    if own is not None:
        coarse = (
            resample(reference.with_array(own.astype(np.float32)), grid.array.shape, grid.affine)
            > 0.5
        )
        return own, coarse
    intracranial = priors[list(INTRACRANIAL)].sum(0)
    near = intracranial > 0.02
    fit = fit_tissues({m: s.array[near] for m, s in scans.items()}, priors[:, near], skull=True)
    inside = np.zeros(grid.array.shape, np.float32)
    inside[near] = fit.posterior.sum(0)
    inside = np.where(intracranial > 0.995, np.maximum(inside, 0.6), inside)
    coarse = skull_mask(grid.with_array(inside))
    soft = ndimage.gaussian_filter(coarse.astype(np.float32), 0.7)
    return resample(grid.with_array(soft), reference.array.shape, reference.affine) > 0.5, coarse


def _fit_inside(
    scans: Mapping[Modality, Volume], priors: NDArray, inside: NDArray[np.bool_]
) -> TissueFit:
    chosen = priors[:, inside].copy()
    chosen[[Tissue.BONE, Tissue.SOFT]] = 0
    chosen /= np.maximum(chosen.sum(0), 1e-3)
    return fit_tissues({m: s.array[inside] for m, s in scans.items()}, chosen, skull=False)


def _bounding_box(mask: NDArray[np.bool_], margin: int = 2) -> tuple[slice, slice, slice]:
    k, j, i = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin))
        for s, n in zip((k, j, i), mask.shape, strict=True)
    )  # type: ignore[return-value]


def _on_crop(maps: NDArray[np.float32], grid: Volume, crop: Volume) -> NDArray[np.float32]:
    return np.stack([resample(grid.with_array(p), crop.array.shape, crop.affine) for p in maps])


def _regions(
    template: Template, reference: Volume, grid: Volume, world: NDArray, seen: SeenAnatomy | None
) -> NDArray[np.float32]:
    """Codes of `Region` on the reference grid: the atlas's, corrected by what was seen."""
    atlas, inverse, nearest = (
        Volume(template.regions, TEMPLATE_AFFINE),
        np.linalg.inv(world),
        sitk.sitkNearestNeighbor,
    )
    if seen is None:
        return resample(
            atlas, reference.array.shape, reference.affine, inverse, interpolation=nearest
        )
    coarse = resample(atlas, grid.array.shape, grid.affine, inverse, interpolation=nearest).astype(
        np.uint8
    )
    return resample(
        grid.with_array(named(seen, coarse)),
        reference.array.shape,
        reference.affine,
        interpolation=nearest,
    )


def _ventricles(
    template: Template, crop: Volume, world: NDArray, seen: SeenAnatomy | None
) -> NDArray[np.bool_]:
    """Where ventricles are: seen, or within 15 mm of the atlas's (sulci and cysts keep their distance)."""
    if seen is not None:
        own = seen.probability[
            [Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE, Structure.MIDLINE_VENTRICLES]
        ].sum(0)
        return resample(Volume(own, seen.affine), crop.array.shape, crop.affine) > 0.5
    stretch = float(np.cbrt(np.linalg.det(world[:3, :3])))
    away = resample(
        Volume(template.ventricle_mm, COARSE_AFFINE),
        crop.array.shape,
        crop.affine,
        np.linalg.inv(world),
        fill=60.0,
    )
    return away * stretch < 15


def _brighter_than_white(
    images: Mapping[Modality, NDArray], intensities: Mapping[Modality, TissueIntensities]
) -> NDArray[np.bool_] | None:
    """On FLAIR; None without one."""
    flair = Modality.FLAIR
    return images[flair] > intensities[flair].mean[Tissue.WHITE] if flair in images else None


def _names(
    priors: NDArray[np.float32], posterior: NDArray[np.float32], bright: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """The `Tissue` that the place of each voxel is named by.

    A lesion looks like no tissue, and so like whichever varies most: where the anatomy has none of that, there is none. And what FLAIR
    shows brighter than white matter is no fluid, unless the anatomy is sure of it, as of plexus and flow within the ventricles.
    """
    believed = posterior * (priors >= _LEAST_PRIOR[:, None, None, None])
    fluid = [Tissue.VENTRICLE, Tissue.CSF]
    if bright is not None:
        believed[fluid] *= ~bright | (priors[fluid].sum(0) >= 0.5)
    return believed.argmax(0)


def _zones(
    mask: NDArray[np.bool_],
    box: tuple[slice, slice, slice],
    spacing: tuple[float, float, float],
    names: NDArray[np.int64],
    ventricles: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Codes of `Zone` on the whole grid, from the patient's own tissues and their distances."""
    zones = np.array(_ZONE_OF_TISSUE)[names].astype(np.uint8)
    to_ventricle = _distance((names == Tissue.VENTRICLE) & ventricles, spacing)
    to_cortex = _distance(ndimage.binary_opening(names == Tissue.CORTEX), spacing)
    white = zones == Zone.DEEP_WHITE
    zones[white & (to_cortex <= 3)] = Zone.JUXTACORTICAL
    zones[white & (to_ventricle <= 3)] = Zone.PERIVENTRICULAR
    whole = np.zeros(mask.shape, np.uint8)
    whole[box] = np.where(mask[box], zones, Zone.OUTSIDE)
    return whole


def _distance(mask: NDArray[np.bool_], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    if not mask.any():
        return np.full(mask.shape, 60.0, np.float32)
    return ndimage.distance_transform_edt(~mask, sampling=spacing).astype(np.float32)
