"""Registration of a patient to the template, and of one scan to another.

SimpleITK does the registration. Ours are the template drawn in the contrast of the scan, and enough
starting poses for a head that is turned by 30° or shifted by 40 mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from typing import TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.anatomy import COARSE_GRID, Tissue
from ..core.contrast import TISSUE_BRIGHTNESS
from ..core.grid import Grid
from ..core.resampling import LPS, ras_matrix, to_sitk
from ..core.study import Modality, Volume
from .canonical import canonical_copy, foreground
from .template import Template

IN_PLACE_MM = 3.0
"""A scan whose best affine moves the brain by less than this is in template space already, and
stays
in place: it has mostly been registered by more than an affine."""

AIR_MARGIN_MM = 30.0
"""Air added around a stripped brain: without it, moving the template out costs nothing."""

MAX_STRETCH = 1.4
"""Largest stretch or squeeze of a head along any axis by an affine, against the similarity that it
started from."""

HISTOGRAM_BINS = 32
"""Of Mattes mutual information."""

LAST_STEP = 5e-3
"""Steps of the optimiser shorter than this, in about mm, end a level."""

Transform = TypeVar("Transform", bound=sitk.Transform)


@dataclass(frozen=True)
class Level:
    """Describe one level of a registration.

    Attributes:
        spacing_mm: of the copies that are registered.
        sigma_mm: standard deviation of their smoothing.
        share: of the voxels, on which the metric is evaluated.
        iterations: at most.
        first_step: of the optimiser, about the mm that a voxel moves.
    """

    spacing_mm: float
    sigma_mm: float
    share: float
    iterations: int
    first_step: float


RIGID_LEVELS = (
    Level(spacing_mm=6.0, sigma_mm=5.0, share=0.5, iterations=80, first_step=4.0),
    Level(spacing_mm=3.0, sigma_mm=2.0, share=0.2, iterations=40, first_step=2.0),
    Level(spacing_mm=2.0, sigma_mm=1.0, share=0.05, iterations=20, first_step=0.5),
)
"""From coarse to fine: each level costs about as much as the others. From starts 30° and 40 mm away
all levels together arrive within 0.7 mm of where they arrive from rest."""

POSE_LEVEL = Level(spacing_mm=8.0, sigma_mm=0.0, share=1.0, iterations=60, first_step=2.0)
SIMILARITY_LEVEL = Level(spacing_mm=4.0, sigma_mm=3.0, share=0.35, iterations=100, first_step=2.0)
AFFINE_LEVELS = (
    Level(spacing_mm=4.0, sigma_mm=2.0, share=0.35, iterations=60, first_step=2.0),
    Level(spacing_mm=2.0, sigma_mm=1.5, share=0.05, iterations=30, first_step=0.5),
)
"""Of the registration to the template."""


def draw_template(template: Template, modality: Modality, *, with_skull: bool) -> Volume:
    """Return the template in a contrast, with or without the head around the brain, coarse grid."""
    drawn_as = Modality.T1 if modality is Modality.T1C else modality
    brightness = TISSUE_BRIGHTNESS[drawn_as]
    tissues = [t for t in Tissue if with_skull or t.intracranial]
    image = sum(brightness[t] * template.tissues[t] for t in tissues)
    return Volume(np.asarray(image, np.float32), COARSE_GRID.affine)


def register_to_template(
    scan: Volume,
    modality: Modality,
    template: Template,
    *,
    with_skull: bool,
    pose: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the affine from template to patient.

    Args:
        scan: of the patient, on any grid.
        modality: its contrast.
        template: the bundled atlas.
        with_skull: whether the scan shows the head around the brain.
        pose: (4, 4), a similarity from template to patient to start from; searched for if None.

    Returns:
        (4, 4), RAS mm of the template → RAS mm of the patient; exactly the identity for a scan in
        template space.
    """
    moving = canonical_copy(scan, COARSE_GRID.spacing[0])
    if not with_skull:
        moving = _pad(moving, AIR_MARGIN_MM)
    moving = _clip_bright(moving)
    drawn = draw_template(template, modality, with_skull=with_skull)
    if pose is None:
        start = _best_start(drawn, moving, with_skull=with_skull)
    else:
        start = _similarity(pose, _centre(drawn.array > 0.3, drawn.grid))
    fixed, image = to_sitk(drawn), to_sitk(moving)
    coarse = _copies(SIMILARITY_LEVEL, drawn, moving)
    similar = _step(*coarse, start, SIMILARITY_LEVEL)[1]
    affine = sitk.AffineTransform(3)
    affine.SetCenter(start.GetCenter())
    affine.SetMatrix(similar.GetMatrix())
    affine.SetTranslation(similar.GetTranslation())
    # Face and neck have guided the similarity; for the affine only the brain counts.
    mask = _brain_region(template) if with_skull else None
    affine = _step(*coarse, affine, AFFINE_LEVELS[0], mask)[1]
    affine = _step(fixed, image, affine, AFFINE_LEVELS[1], mask)[1]
    world = ras_matrix(affine)
    if not _is_plausible(world, ras_matrix(similar)):
        world = ras_matrix(similar)
    return np.eye(4) if mean_displacement(world, template) <= IN_PLACE_MM else world


def _brain_region(template: Template) -> sitk.Image:
    """Return where the brain may be, as a mask for the metric."""
    near = template.intracranial.array > 0.05
    return to_sitk(Volume(near.astype(np.uint8), COARSE_GRID.affine), np.uint8)


def _is_plausible(affine: NDArray[np.float64], similarity: NDArray[np.float64]) -> bool:
    """Return whether an affine is no mirror image, and stretches nothing beyond `MAX_STRETCH`."""
    change = affine[:3, :3] @ np.linalg.inv(similarity[:3, :3])
    stretch = np.linalg.svd(change, compute_uv=False)
    is_proper = np.linalg.det(change) > 0
    return bool(is_proper and stretch[0] < MAX_STRETCH and stretch[-1] > 1 / MAX_STRETCH)


def mean_displacement(
    world: NDArray[np.float64], template: Template, other: NDArray[np.float64] | None = None
) -> float:
    """Return how far two mappings of the template's brain lie apart on average, in mm.

    Args:
        world: (4, 4), RAS mm of the template → RAS mm.
        template: the bundled atlas.
        other: (4, 4), the mapping to compare with; the identity by default.
    """
    k, j, i = np.nonzero(template.intracranial.array > 0.5)
    points = template.intracranial.affine @ np.stack([i, j, k, np.ones(len(i))])
    apart = (world - (np.eye(4) if other is None else other)) @ points
    return float(np.linalg.norm(apart[:3], axis=0).mean())


def register_rigidly(moving: Volume, fixed: Volume) -> NDArray[np.float64]:
    """Return the rigid motion between two scans of one patient, by mutual information.

    Two starts are optimised on coarse copies, the better one on ever finer ones (`RIGID_LEVELS`).

    Args:
        moving: the scan to align.
        fixed: the scan to align it with.

    Returns:
        (4, 4), RAS mm of ``fixed`` → RAS mm of ``moving``.
    """
    finest = RIGID_LEVELS[-1].spacing_mm
    target, source = (_clip_bright(canonical_copy(v, finest)) for v in (fixed, moving))
    copies = _copies(RIGID_LEVELS[0], target, source)
    starts = (_identity_at_centre(copies[0]), _moments_start(*copies))
    tried = [_step(*copies, start, RIGID_LEVELS[0]) for start in starts]
    best = min(tried, key=itemgetter(0))[1]
    best = _step(*_copies(RIGID_LEVELS[1], target, source), best, RIGID_LEVELS[1])[1]
    best = _step(to_sitk(target), to_sitk(source), best, RIGID_LEVELS[2])[1]
    return ras_matrix(best)


def _copies(level: Level, fixed: Volume, moving: Volume) -> tuple[sitk.Image, sitk.Image]:
    """Return both images of a registration with the voxels of a level."""
    spacing = level.spacing_mm
    return to_sitk(canonical_copy(fixed, spacing)), to_sitk(canonical_copy(moving, spacing))


def _step(
    fixed: sitk.Image,
    moving: sitk.Image,
    start: Transform,
    level: Level,
    mask: sitk.Image | None = None,
) -> tuple[float, Transform]:
    """Return the metric, smaller being better, and the transform that one level arrives at."""
    method = _method(level)
    if mask is not None:
        method.SetMetricFixedMask(mask)
    method.SetInitialTransform(start, inPlace=False)
    inner = sitk.CompositeTransform(method.Execute(fixed, moving)).GetNthTransform(0)
    return method.GetMetricValue(), type(start)(inner)


def _clip_bright(volume: Volume) -> Volume:
    """Clip the brightest voxels (vessels, fat), which would take most bins of the histogram."""
    positive = volume.array[volume.array > volume.array.min()]
    low, high = np.percentile(positive, (0.5, 99.0)) if positive.size else (0.0, 1.0)
    return Volume(np.clip(volume.array, min(low, float(volume.array.min())), high), volume.affine)


def _pad(volume: Volume, margin_mm: float) -> Volume:
    """Add a margin of the lowest value on all sides."""
    margin = [round(margin_mm / s) for s in volume.spacing]
    array = np.pad(volume.array, [(m, m) for m in margin], constant_values=volume.array.min())
    k, j, i = (slice(-m, n + m) for m, n in zip(margin, volume.array.shape, strict=True))
    return Volume(array, volume.grid.crop((k, j, i)).affine)


def _method(level: Level) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(level.share, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        level.first_step,
        LAST_STEP,
        level.iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    # The images are of the level's own spacing: SimpleITK's pyramid would keep the moving one fine.
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([level.sigma_mm])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    return method


def _best_start(drawn: Volume, moving: Volume, *, with_skull: bool) -> sitk.Similarity3DTransform:
    """Return the best of many poses by mutual information at 8 mm, the best four optimised."""
    fixed, image = _copies(POSE_LEVEL, drawn, moving)
    target = _centre(drawn.array > 0.3, drawn.grid)
    body = foreground(moving)
    source = _centre(body, moving.grid)
    shifts = [np.zeros(3)]
    if with_skull:
        # A neck pulls the centre of mass down: also try the crown as the landmark.
        crown = _crown(body, moving.affine) - _crown(drawn.array > 0.3, drawn.affine)
        shifts = [
            np.array([0, 0, (crown - (source - target)[2]) * f]) for f in (0.0, 0.5, 1.0, 1.3)
        ]
    method = _method(POSE_LEVEL)
    scored: list[tuple[float, int, sitk.Similarity3DTransform]] = []
    angles = np.deg2rad([-25, 0, 25])
    for shift, (x, y, z) in product(shifts, product(angles, angles, angles)):
        pose = sitk.Similarity3DTransform()
        pose.SetCenter((LPS[:3, :3] @ target).tolist())
        euler = sitk.Euler3DTransform()
        euler.SetRotation(float(x), float(y), float(z))
        pose.SetMatrix(euler.GetMatrix())
        pose.SetTranslation((LPS[:3, :3] @ (source - target + shift)).tolist())
        method.SetInitialTransform(pose)
        try:
            scored.append((method.MetricEvaluate(fixed, image), len(scored), pose))
        except RuntimeError:  # hardly any overlap
            continue
    scored.sort(key=lambda s: s[:2])
    best = min(
        (_step(fixed, image, pose, POSE_LEVEL) for _, _, pose in scored[:4]), key=itemgetter(0)
    )
    return best[1]


def _similarity(
    world: NDArray[np.float64], centre: NDArray[np.float64]
) -> sitk.Similarity3DTransform:
    """Return a similarity in RAS mm as a SimpleITK transform about a centre in RAS mm."""
    lps = LPS @ world @ LPS
    middle = LPS[:3, :3] @ centre
    transform = sitk.Similarity3DTransform()
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-4)
    transform.SetTranslation((lps[:3, :3] @ middle + lps[:3, 3] - middle).tolist())
    return transform


def _centre(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    k, j, i = (float(n.mean()) for n in np.nonzero(mask))
    return grid.to_ras((k, j, i))


def _crown(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    return float(affine[2, 2] * np.nonzero(mask.any((1, 2)))[0].max() + affine[2, 3])


def _identity_at_centre(fixed: sitk.Image) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(
        fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    )
    return transform


def _moments_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Euler3DTransform:
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    return sitk.Euler3DTransform(start)
