"""The parcellation of a patient by the anatomy network, and what follows from it.

Brain, tissues, pose and regions are derived from the predicted probability of each structure. The
network comes in as a function: nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import (
    INTRACRANIAL,
    STRUCTURE_SPACING_MM,
    TEMPLATE_GRID,
    TISSUE_OF_STRUCTURE,
    Region,
    Structure,
    Tissue,
)
from ..core.grid import Grid, embed
from ..core.study import Volume
from .canonical import foreground
from .template import Template

AnatomyPredictor = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Maps (k, j, i) intensities, with their median in the head at 1, on upright voxels of 2 mm, to the
(18, k, j, i) probability of each `Structure`."""

MAX_INTENSITY = 6.0
"""Brighter voxels are clipped, in units of the median of the head."""

WINDOW = (96, 96, 80)
"""Voxels that the network predicts from at once, as in training: 192 × 192 × 160 mm."""

MARGIN_ABOVE_MM = 8.0
"""Air above the crown in the first window."""

_LOBES = ("FRONTAL", "PARIETAL", "TEMPORAL", "OCCIPITAL", "INSULA", "CINGULATE")


def _on_both_sides(structure: str, *regions: str) -> dict[Structure, tuple[Region, ...]]:
    return {
        Structure[f"{side}_{structure}"]: tuple(Region[f"{side}_{name}"] for name in regions)
        for side in ("LEFT", "RIGHT")
    }


REGIONS_OF: dict[Structure, tuple[Region, ...]] = {
    **_on_both_sides("CORTEX", *_LOBES),
    **{
        structure: (*regions, Region.CORPUS_CALLOSUM)
        for structure, regions in _on_both_sides("WHITE", *_LOBES).items()
    },
    **_on_both_sides("STRIATUM", "CAUDATE", "LENTIFORM"),
    **_on_both_sides("THALAMUS", "THALAMUS", "LENTIFORM"),  # with the pallidum
    **_on_both_sides("HIPPOCAMPUS", "HIPPOCAMPUS", "AMYGDALA"),
    **_on_both_sides("VENTRICLE", "LATERAL_VENTRICLE"),
    **_on_both_sides("CEREBELLUM", "CEREBELLUM"),
    Structure.MIDLINE_VENTRICLES: (Region.THIRD_OR_FOURTH_VENTRICLE,),
    Structure.BRAINSTEM: (Region.LEFT_BRAINSTEM, Region.RIGHT_BRAINSTEM),
}
"""Regions that a voxel of each structure may have; fluid outside the ventricles keeps the region of
its neighbourhood."""

_Landmark = tuple[tuple[Structure, ...], tuple[Region, ...]]

_LANDMARKS: tuple[_Landmark, ...] = (
    *(
        ((Structure[f"{side}_{name}"],), REGIONS_OF[Structure[f"{side}_{name}"]])
        for side in ("LEFT", "RIGHT")
        for name in ("STRIATUM", "THALAMUS", "HIPPOCAMPUS", "VENTRICLE", "CEREBELLUM")
    ),
    *(
        (
            (Structure[f"{side}_WHITE"], Structure[f"{side}_CORTEX"]),
            REGIONS_OF[Structure[f"{side}_WHITE"]],
        )
        for side in ("LEFT", "RIGHT")
    ),
    ((Structure.BRAINSTEM,), REGIONS_OF[Structure.BRAINSTEM]),
)
"""Structures whose centres are matched with those of the template's regions."""

MIN_LANDMARKS = 8
MIN_LANDMARK_ML = 0.5
MAX_RESIDUAL_MM = 8.0
SCALE_RANGE = (0.7, 1.4)
"""A pose with fewer landmarks, a larger residual or another scale is not that of a brain."""


@dataclass(frozen=True)
class Parcellation:
    """Hold the probability of each `Structure` on a canonical 2 mm grid.

    Attributes:
        probability: (18, k, j, i) float32, summing to 1.
        affine: (i, j, k) → RAS mm.
    """

    probability: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def intracranial(self) -> Volume:
        """Return the probability of being inside the skull."""
        return Volume(1 - self.probability[Structure.OUTSIDE], self.affine)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Return the likeliest `Structure` of each voxel, (k, j, i)."""
        labels: NDArray[np.uint8] = self.probability.argmax(0).astype(np.uint8)
        return labels

    def probability_of(self, *structures: Structure) -> Volume:
        """Return the summed probability of some structures."""
        return Volume(self.probability[list(structures)].sum(0), self.affine)


def predict_parcellation(
    predictor: AnatomyPredictor, scan: Volume, *, is_stripped: bool = False
) -> Parcellation:
    """Return the network's prediction in a window around the brain.

    The middle of a stripped brain is known. That of a head is predicted first, in a window below
    the crown.

    Args:
        predictor: the anatomy network.
        scan: on a canonical grid of `STRUCTURE_SPACING_MM`.
        is_stripped: whether the scan shows nothing but the brain.
    """
    head = foreground(scan)
    if not head.any():
        head = np.ones(scan.array.shape, bool)
    array = scan.array - scan.array.min()
    array = np.clip(array / max(float(np.median(array[head])), 1e-6), 0, MAX_INTENSITY)
    array = array.astype(np.float32)
    if is_stripped:
        centre = _centre_of_mass(head.astype(np.float32))
        return Parcellation(_predict_in_window(predictor, array, centre), scan.affine)
    predicted = _predict_in_window(predictor, array, _below_crown(head))
    inside = 1 - predicted[Structure.OUTSIDE]
    if inside.sum() > 1:
        predicted = _predict_in_window(predictor, array, _centre_of_mass(inside))
    return Parcellation(predicted, scan.affine)


def _below_crown(head: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the middle (k, j, i) of a window that ends a little above the crown of a head."""
    crown = int(np.nonzero(head.any((1, 2)))[0].max())
    upper = head[max(0, crown - WINDOW[0]) :]
    _, j, i = (float(n.mean()) for n in np.nonzero(upper))
    return crown + MARGIN_ABOVE_MM / STRUCTURE_SPACING_MM - WINDOW[0] / 2, j, i


_OTHER_AXES = ((1, 2), (0, 2), (0, 1))


def _centre_of_mass(weight: NDArray[np.float32]) -> tuple[float, float, float]:
    total = weight.sum()
    k, j, i = (
        float((np.arange(n) * weight.sum(axes)).sum() / total)
        for n, axes in zip(weight.shape, _OTHER_AXES, strict=True)
    )
    return k, j, i


def _predict_in_window(
    predictor: AnatomyPredictor,
    array: NDArray[np.float32],
    centre: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Return (18, k, j, i) probabilities; everything outside the window is outside the brain."""
    first = [round(m - n / 2) for m, n in zip(centre, WINDOW, strict=True)]
    k, j, i = (
        slice(max(0, f), max(0, min(n, f + w)))
        for f, n, w in zip(first, array.shape, WINDOW, strict=True)
    )
    source = (k, j, i)
    target = tuple(slice(s.start - f, s.stop - f) for s, f in zip(source, first, strict=True))
    window = np.zeros(WINDOW, np.float32)
    window[target] = array[source]
    inside = (slice(None), *target)
    predicted = predictor(window)[inside]
    out: NDArray[np.float32] = embed(predicted, source, array.shape)
    outside = np.ones(array.shape, bool)
    outside[source] = False
    out[Structure.OUTSIDE][outside] = 1
    return out


def tissue_probabilities(
    parcellation: Parcellation, priors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the probability of each `Tissue` by the parcellation.

    Bone, soft tissue and the two tissues of the cerebellum are shared out as in the atlas.

    Args:
        parcellation: on the grid of the priors.
        priors: (11, k, j, i) of the atlas.

    Returns:
        (11, k, j, i) float32.
    """
    out = np.zeros_like(priors)
    for structure, tissue in zip(Structure, TISSUE_OF_STRUCTURE, strict=True):
        if tissue is not None:
            out[tissue] += parcellation.probability[structure]
    both = [Tissue.CEREBELLUM_WHITE, Tissue.CEREBELLUM_CORTEX]
    sides = [Structure.LEFT_CEREBELLUM, Structure.RIGHT_CEREBELLUM]
    cerebellum = parcellation.probability[sides].sum(0)
    out[both] = cerebellum * (priors[both] + 0.01) / (priors[both].sum(0) + 0.02)
    head = [Tissue.BONE, Tissue.SOFT]
    extracranial = np.maximum(1 - priors[list(INTRACRANIAL)].sum(0), 1e-3)
    share = np.minimum(priors[head] / extracranial, 1)
    out[head] = parcellation.probability[Structure.OUTSIDE] * share
    return out


def estimate_pose(parcellation: Parcellation, template: Template) -> NDArray[np.float64] | None:
    """Return the similarity that takes the centres of the template's regions to the patient's.

    Umeyama, IEEE PAMI 13 (1991) 376–380.

    Returns:
        (4, 4), RAS mm of the template → RAS mm of the patient; None if it is not a brain.
    """
    # SimilarityTransform.from_estimate is the same, but new in scikit-image 0.26.
    from skimage.transform import estimate_transform

    labels = parcellation.labels
    grid = Volume(labels, parcellation.affine).grid
    own, atlas = _moments(labels, grid), _atlas_moments(template)
    known, found = [], []
    for structures, regions in _LANDMARKS:
        voxels = own[list(structures), 0].sum()
        if voxels * STRUCTURE_SPACING_MM**3 / 1000 >= MIN_LANDMARK_ML:
            found.append(_centre(own[list(structures)]))
            known.append(_centre(atlas[list(regions)]))
    if len(known) < MIN_LANDMARKS:
        return None
    source, target = np.array(known), np.array(found)
    transform = estimate_transform("similarity", source, target)
    if not transform or not np.isfinite(transform.params).all():
        return None
    world: NDArray[np.float64] = np.asarray(transform.params)
    scale = float(np.cbrt(np.linalg.det(world[:3, :3])))
    away = source @ world[:3, :3].T + world[:3, 3] - target
    residual = float(np.sqrt((away**2).sum(1).mean()))
    low, high = SCALE_RANGE
    return world if residual <= MAX_RESIDUAL_MM and low < scale < high else None


def correct_regions(parcellation: Parcellation, regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return regions that agree with the patient's own parcellation.

    Where atlas and parcellation disagree, a voxel gets the nearest region that fits its structure.

    Args:
        parcellation: of the patient.
        regions: (k, j, i) codes of `Region` from the atlas, on the grid of the parcellation.
    """
    labels = parcellation.labels
    out: NDArray[np.uint8] = regions.copy()
    for structure, allowed in REGIONS_OF.items():
        is_allowed = np.zeros(256, bool)
        is_allowed[list(allowed)] = True
        fits = is_allowed[regions]
        wrong = (labels == structure) & ~fits
        if wrong.any() and fits.any():
            box = ndimage.find_objects((wrong | fits).astype(np.uint8))[0]
            _, nearest = ndimage.distance_transform_edt(~fits[box], return_indices=True)
            at = tuple(n[wrong[box]] for n in nearest)
            out[box][wrong[box]] = regions[box][at]
    return out


def _atlas_moments(template: Template) -> NDArray[np.float64]:
    """Return the `_moments` of the template's regions, from every second voxel along each axis."""
    affine = TEMPLATE_GRID.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    every_second = Volume(template.regions[::2, ::2, ::2], affine)
    return _moments(every_second.array, every_second.grid)


def _moments(labels: NDArray[np.uint8], grid: Grid) -> NDArray[np.float64]:
    """Return the number of voxels of each label and the sums of their RAS mm, (256, 4)."""
    inside = np.flatnonzero(labels)
    codes = labels.ravel()[inside]
    index = np.unravel_index(inside, labels.shape)
    count = np.bincount(codes, minlength=256)
    k, j, i = (np.bincount(codes, n, minlength=256) for n in index)
    moments: NDArray[np.float64] = np.stack([i, j, k, count], 1) @ grid.affine.T
    return moments[:, [3, 0, 1, 2]]


def _centre(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the common centre of some labels in RAS mm, from their `_moments`."""
    count, *sums = moments.sum(0)
    centre: NDArray[np.float64] = np.array(sums) / count
    return centre
