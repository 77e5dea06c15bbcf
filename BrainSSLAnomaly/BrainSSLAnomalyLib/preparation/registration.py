"""Where the patient's brain lies on the template, and where one scan lies on another.

SimpleITK does the registration. What is ours: the picture of the template to register to, and enough starting
poses that a head turned by 30° or shifted by 40 mm comes home.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.anatomy import COARSE_AFFINE, Tissue
from ..core.resampling import LPS, ras_matrix, resample, to_sitk
from ..core.study import Modality, Volume
from .canonical import coarse_copy, foreground
from .template import Template

_TYPICAL: dict[str, tuple[float, ...]] = {
    # white, cortex, striatum, thalamus, ventricle, csf, brainstem, cerebellar white, cerebellar cortex, bone, soft
    "T1": (1.00, 0.68, 0.74, 0.86, 0.20, 0.20, 0.92, 0.95, 0.66, 0.25, 0.85),
    "T2": (0.55, 0.78, 0.68, 0.62, 1.60, 1.45, 0.60, 0.58, 0.78, 0.25, 0.70),
    "FLAIR": (0.78, 1.00, 0.95, 0.88, 0.25, 0.30, 0.82, 0.80, 0.95, 0.20, 0.70),
    "PD": (0.75, 0.95, 0.88, 0.85, 0.95, 0.95, 0.80, 0.78, 0.95, 0.25, 0.75),
}
"""Relative brightness of each tissue; only the order matters to mutual information."""


IN_PLACE_MM = 3.0
"""A scan whose best affine moves the brain by less than this is in template space already, and is left where it is:
whoever brought it there has mostly done more than an affine can."""


AIR_MM = 30.0

LARGEST_STRETCH = 1.4
"""By how much an affine may stretch or squeeze a head along any axis, against the similarity it started from."""


def template_picture(template: Template, modality: Modality, *, skull: bool) -> Volume:
    """The template drawn in a contrast, with or without the head around it."""
    values = _TYPICAL["T1" if modality is Modality.T1C else modality.value]
    shown = [t for t in Tissue if skull or t.intracranial]
    picture = sum(values[t] * template.tissues[t] for t in shown)
    return Volume(np.asarray(picture, np.float32), COARSE_AFFINE)


def register_to_template(
    scan: Volume,
    modality: Modality,
    template: Template,
    *,
    skull: bool,
    pose: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Affine from template to patient.

    Args:
        scan: the patient's scan, any grid.
        modality: its contrast.
        template: the bundled anatomy.
        skull: whether the scan shows the head around the brain.
        pose: (4, 4), a similarity from template to patient to start from; searched for if None.

    Returns:
        (4, 4): RAS mm of the template → RAS mm of the patient; exactly the identity for a scan in template space.
    """
    moving = coarse_copy(scan, 2.0)
    if not skull:  # the air around a brain is known: without it, pushing the template out of the picture would cost nothing
        moving = _padded(moving, AIR_MM)
    picture = template_picture(template, modality, skull=skull)
    fixed, image = to_sitk(picture), to_sitk(_capped(moving))
    start = (
        _best_start(picture, moving, skull=skull)
        if pose is None
        else _similarity(pose, _centre(picture.array > 0.3, picture.affine))
    )
    transform = _optimise(fixed, image, start, shrink=[2], sigma=[4], share=0.35)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(start.GetCenter())
    similar = sitk.Similarity3DTransform(transform)
    affine.SetMatrix(similar.GetMatrix())
    affine.SetTranslation(similar.GetTranslation())
    if skull:  # the face and neck have led the way; now only the brain counts
        fixed = to_sitk(template_picture(template, modality, skull=True))
        near = resample(template.intracranial, picture.array.shape, picture.affine) > 0.05
        mask = sitk.Cast(
            to_sitk(Volume(near.astype(np.uint8), picture.affine), np.uint8), sitk.sitkUInt8
        )
    else:
        mask = None
    final = ras_matrix(
        _optimise(fixed, image, affine, shrink=[2, 1], sigma=[3, 1.5], share=0.25, mask=mask)
    )
    if not _shaped_like_a_head(final, ras_matrix(similar)):
        final = ras_matrix(similar)
    return np.eye(4) if mean_displacement(final, template) <= IN_PLACE_MM else final


def _shaped_like_a_head(affine: NDArray[np.float64], similarity: NDArray[np.float64]) -> bool:
    """Whether an affine is no mirror image, and stretches nothing beyond `LARGEST_STRETCH`."""
    change = affine[:3, :3] @ np.linalg.inv(similarity[:3, :3])
    stretch = np.linalg.svd(change, compute_uv=False)
    return bool(
        np.linalg.det(change) > 0
        and stretch[0] < LARGEST_STRETCH
        and stretch[-1] > 1 / LARGEST_STRETCH
    )


def mean_displacement(
    world: NDArray[np.float64], template: Template, other: NDArray[np.float64] | None = None
) -> float:
    """How far two mappings of the template's brain lie apart on average, in mm; from staying in place by default."""
    k, j, i = np.nonzero(template.intracranial.array > 0.5)
    points = template.intracranial.affine @ np.stack([i, j, k, np.ones(len(i))])
    apart = (world - (np.eye(4) if other is None else other)) @ points
    return float(np.linalg.norm(apart[:3], axis=0).mean())


def register_rigidly(moving: Volume, fixed: Volume, *, spacing: float = 1.5) -> NDArray[np.float64]:
    """Rigid motion between two scans of one patient, by mutual information.

    Returns:
        (4, 4): RAS mm of ``fixed`` → RAS mm of ``moving``.
    """
    target, image = (
        to_sitk(_capped(coarse_copy(fixed, spacing))),
        to_sitk(_capped(coarse_copy(moving, spacing))),
    )
    best: sitk.Transform | None = None
    best_value = np.inf
    for start in (_identity_at_centre(target), _moments_start(target, image)):
        method = _method(shrink=[4], sigma=[6], share=0.3, iterations=60)
        method.SetInitialTransform(start, inPlace=False)
        transform = sitk.Euler3DTransform(
            sitk.CompositeTransform(method.Execute(target, image)).GetNthTransform(0)
        )
        if method.GetMetricValue() < best_value:
            best, best_value = transform, method.GetMetricValue()
    method = _method(shrink=[2, 1], sigma=[2, 1], share=0.25, iterations=80)
    method.SetInitialTransform(best, inPlace=False)
    return ras_matrix(method.Execute(target, image))


def _capped(volume: Volume) -> Volume:
    """Without the few brightest voxels (vessels, fat), which would take most of the histogram's bins."""
    positive = volume.array[volume.array > volume.array.min()]
    low, high = np.percentile(positive, (0.5, 99.0)) if positive.size else (0.0, 1.0)
    return Volume(np.clip(volume.array, min(low, float(volume.array.min())), high), volume.affine)


def _padded(volume: Volume, margin_mm: float) -> Volume:
    """With a margin of its lowest value on all sides."""
    k, j, i = (round(margin_mm / s) for s in volume.spacing)
    affine = volume.affine.copy()
    affine[:3, 3] = (affine @ [-i, -j, -k, 1.0])[:3]
    return Volume(
        np.pad(volume.array, ((k, k), (j, j), (i, i)), constant_values=volume.array.min()), affine
    )


def _method(
    *, shrink: list[int], sigma: list[float], share: float, iterations: int = 100
) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(share, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        2.0, 5e-3, iterations, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel(sigma)
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    return method


def _optimise(
    fixed: sitk.Image,
    moving: sitk.Image,
    start: sitk.Transform,
    *,
    shrink: list[int],
    sigma: list[float],
    share: float,
    mask: sitk.Image | None = None,
) -> sitk.Transform:
    method = _method(shrink=shrink, sigma=sigma, share=share)
    if mask is not None:
        method.SetMetricFixedMask(mask)
    method.SetInitialTransform(start, inPlace=False)
    result = method.Execute(fixed, moving)
    inner = sitk.CompositeTransform(result).GetNthTransform(0)
    return type(start)(inner)


def _best_start(picture: Volume, moving: Volume, *, skull: bool) -> sitk.Similarity3DTransform:
    """The best of many poses by mutual information at 8 mm, after a short optimisation of the best three."""
    small, own = coarse_copy(picture, 8.0), coarse_copy(moving, 8.0)
    fixed, image = to_sitk(small), to_sitk(_capped(own))
    target = _centre(picture.array > 0.3, picture.affine)
    body = foreground(moving)
    source = _centre(body, moving.affine)
    shifts = [np.zeros(3)]
    if skull:
        # A neck pulls the centre of mass down: also try the crown as the landmark.
        crown = _crown(body, moving.affine) - _crown(picture.array > 0.3, picture.affine)
        shifts = [
            np.array([0, 0, (crown - (source - target)[2]) * f]) for f in (0.0, 0.5, 1.0, 1.3)
        ]
    method = _method(shrink=[1], sigma=[0], share=1.0, iterations=40)
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
    best = min((_refined(fixed, image, pose) for _, _, pose in scored[:4]), key=lambda r: r[0])
    return best[1]


def _similarity(
    world: NDArray[np.float64], centre: NDArray[np.float64]
) -> sitk.Similarity3DTransform:
    """RAS mm → SimpleITK, turning about ``centre``."""
    lps = LPS @ world @ LPS
    middle = LPS[:3, :3] @ centre
    transform = sitk.Similarity3DTransform()
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-4)
    transform.SetTranslation((lps[:3, :3] @ middle + lps[:3, 3] - middle).tolist())
    return transform


def _refined(
    fixed: sitk.Image, image: sitk.Image, pose: sitk.Transform
) -> tuple[float, sitk.Similarity3DTransform]:
    method = _method(shrink=[1], sigma=[0], share=1.0, iterations=60)
    method.SetInitialTransform(pose, inPlace=False)
    result = method.Execute(fixed, image)
    return method.GetMetricValue(), sitk.Similarity3DTransform(
        sitk.CompositeTransform(result).GetNthTransform(0)
    )


def _centre(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    k, j, i = (float(n.mean()) for n in np.nonzero(mask))
    return (affine @ [i, j, k, 1.0])[:3]


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
