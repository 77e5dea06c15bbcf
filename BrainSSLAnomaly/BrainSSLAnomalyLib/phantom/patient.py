"""A synthetic patient drawn from the bundled atlas, with lesions of known place.

It needs no data and no network connection: for a first try, for tutorials and for checking an
installation. It is far easier than a patient, so a Dice measured on it shows that the program
works, not how well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..core.anatomy import COARSE_GRID, TEMPLATE_GRID, Tissue
from ..core.contrast import TISSUE_BRIGHTNESS
from ..core.resampling import resample
from ..core.study import Modality, Scan, Study, Volume
from ..preparation.template import Template, load_template

MODALITIES = (Modality.FLAIR, Modality.T1, Modality.T2)

AIR_BRIGHTNESS = 0.02
LESION_BRIGHTNESS = {Modality.FLAIR: 1.45, Modality.T1: 0.60, Modality.T2: 1.15}
"""On the scale of `TISSUE_BRIGHTNESS`."""

SCALE = 400.0
"""Stored intensity of a brightness of 1."""

FIELD_OF_VIEW_MM = (176, 232, 176)
"""Along (k, j, i)."""


class Lesion(NamedTuple):
    """Describe one lesion of the synthetic patient.

    Attributes:
        centre: in template RAS mm.
        radius_mm: of the ball.
        place: in words.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    place: str


LESIONS = (
    Lesion((-24.0, 28.0, 16.0), 7.0, "left frontal, near the ventricle"),
    Lesion((30.0, -30.0, 30.0), 6.0, "right parietal, deep white matter"),
    Lesion((-28.0, -64.0, 14.0), 5.0, "left occipital"),
    Lesion((26.0, 8.0, 34.0), 4.0, "right frontal"),
    Lesion((-36.0, -8.0, 30.0), 3.5, "left frontal, small"),
)


def synthetic_patient(seed: int = 0, spacing: float = 1.0) -> tuple[Study, Volume]:
    """Draw FLAIR, T1 and T2 of a synthetic patient, with lesions.

    Args:
        seed: same seed, same patient.
        spacing: edge of the cubic voxels, in mm.

    Returns:
        The study (whole head, on one grid that is turned by a few degrees against the template) and
        the lesion mask on that grid, (k, j, i) uint8.
    """
    rng = np.random.default_rng(seed)
    to_template = _random_pose(rng)
    k, j, i = (round(mm / spacing) for mm in FIELD_OF_VIEW_MM)
    shape, affine = (k, j, i), np.diag([-spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [88.0, -126.0, -76.0]
    shift = [_smooth_noise(shape, 28 / spacing, rng) * 1.2 / spacing for _ in range(3)]
    warped = np.indices(shape, np.float32) + np.stack(shift)
    labels = _draw_labels(load_template(), rng)
    index = np.linalg.inv(TEMPLATE_GRID.affine) @ to_template @ affine
    turned = np.tensordot(index[:3, :3][::-1, ::-1], warped, 1)
    place = turned + index[:3, 3][::-1, None, None, None]
    tissues = ndimage.map_coordinates(labels, place, order=0, mode="constant").astype(np.uint8)
    lesions = _lesion_mask(place, tissues)
    scans = {}
    for modality in MODALITIES:
        image = _draw_scan(modality, tissues, lesions, spacing, rng)
        volume = Volume((np.clip(image, 0, None) * SCALE).astype(np.int16), affine)
        source = f"synthetic patient {seed}, {modality.value}"
        scans[modality] = Scan(volume, modality, source)
    return Study(scans), Volume((lesions > 0.5).astype(np.uint8), affine)


def _draw_labels(template: Template, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return tissue + 1 of each voxel of the template grid, 0 for air, with folds.

    The atlas is an average without folds: smooth noise decides between cortex, white matter and CSF
    where it is unsure.
    """
    maps = [resample(Volume(t, COARSE_GRID.affine), TEMPLATE_GRID) for t in template.tissues]
    fine = np.stack(maps)
    air = np.clip(1 - fine.sum(0, keepdims=True), 0, 1)
    folds = _smooth_noise(TEMPLATE_GRID.shape, 5, rng)
    fine[Tissue.WHITE] *= 1 + 0.25 * folds
    fine[Tissue.CSF] *= 1 - 0.35 * folds
    labels: NDArray[np.float32] = np.concatenate([air, fine]).argmax(0).astype(np.float32)
    return labels


def _draw_scan(
    modality: Modality,
    tissues: NDArray[np.uint8],
    lesions: NDArray[np.float32],
    spacing: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return a scan with texture, lesions, bias field, blur and noise."""
    shape = tissues.shape
    variation = np.concatenate([[1.0], 1 + 0.03 * rng.standard_normal(len(Tissue))])
    brightness = np.array([AIR_BRIGHTNESS, *TISSUE_BRIGHTNESS[modality]]) * variation
    image = brightness[tissues].astype(np.float32)
    for scale in (2, 6, 16):
        image *= 1 + 0.015 * _smooth_noise(shape, scale / spacing, rng)
    extracranial = tissues > Tissue.CEREBELLUM_CORTEX + 1
    image[extracranial] *= (1 + 0.3 * _smooth_noise(shape, 8 / spacing, rng))[extracranial]
    texture = 1 + 0.04 * _smooth_noise(shape, 3 / spacing, rng)
    image = image * (1 - lesions) + lesions * LESION_BRIGHTNESS[modality] * texture
    image *= np.exp(0.05 * _smooth_noise(shape, 90 / spacing, rng))
    noise = 0.02 * rng.standard_normal(shape).astype(np.float32)
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(image, 0.6 / spacing) + noise
    return blurred


def _lesion_mask(place: NDArray[np.floating], tissues: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the soft mask 0–1 of `LESIONS`, never in CSF.

    Args:
        place: (3, k, j, i), voxel index (k, j, i) on the template grid.
        tissues: (k, j, i), tissue + 1, 0 for air.
    """
    mask = np.zeros(tissues.shape, np.float32)
    for lesion in LESIONS:
        k, j, i = TEMPLATE_GRID.to_index(lesion.centre)
        distance = np.sqrt((place[0] - k) ** 2 + (place[1] - j) ** 2 + (place[2] - i) ** 2)
        mask = np.maximum(mask, np.clip((lesion.radius_mm - distance) / 1.5 + 0.5, 0, 1))
    excluded = [t + 1 for t in (Tissue.VENTRICLE, Tissue.CSF, Tissue.BONE, Tissue.SOFT)]
    inside: NDArray[np.float32] = mask * ((tissues > 0) & ~np.isin(tissues, excluded))
    return inside


def _random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return RAS mm of the patient → RAS mm of the template: a smaller head, turned by up to 6°."""
    turn = Rotation.from_euler("xyz", rng.uniform(-6, 6, 3), degrees=True)
    pose = np.eye(4)
    pose[:3, :3] = turn.as_matrix() @ np.diag(rng.uniform(1.05, 1.15, 3))
    pose[:3, 3] = rng.uniform(-4, 4, 3)
    return pose


def _smooth_noise(
    shape: tuple[int, ...], scale: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return Gaussian noise of unit variance with features of ``scale`` voxels."""
    small = rng.standard_normal([max(3, round(n / scale) + 2) for n in shape]).astype(np.float32)
    zoom = [n / m for n, m in zip(shape, small.shape, strict=True)]
    grown = ndimage.zoom(small, zoom, order=1, grid_mode=True, mode="nearest")
    noise: NDArray[np.float32] = grown / max(float(grown.std()), 1e-6)
    return noise
