"""A synthetic patient made from the bundled anatomy, with lesions whose place is known.

It needs no data and no network connection: for a first look, for tutorials and for checking an installation. It is far easier
than a patient, so a Dice measured on it says that the program works, not how well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import COARSE_AFFINE, TEMPLATE_AFFINE, TEMPLATE_SHAPE, Tissue
from ..core.resampling import resample
from ..core.study import Modality, Scan, Study, Volume
from ..preparation.template import load_template

_BRIGHTNESS: dict[Modality, tuple[float, ...]] = {
    # air, white, cortex, striatum, thalamus, ventricle, csf, brainstem, cerebellar white, cerebellar cortex, bone, soft
    Modality.FLAIR: (0.02, 0.80, 0.98, 0.95, 0.86, 0.22, 0.30, 0.84, 0.80, 0.93, 0.15, 0.75),
    Modality.T1: (0.02, 1.00, 0.68, 0.76, 0.88, 0.22, 0.24, 0.92, 0.95, 0.66, 0.20, 0.80),
    Modality.T2: (0.02, 0.58, 0.80, 0.68, 0.62, 1.70, 1.50, 0.62, 0.58, 0.78, 0.15, 0.65),
}

_LESIONS: tuple[tuple[tuple[float, float, float], float, str], ...] = (
    ((-24.0, 28.0, 16.0), 7.0, "left frontal, near the ventricle"),
    ((30.0, -30.0, 30.0), 6.0, "right parietal, deep white matter"),
    ((-28.0, -64.0, 14.0), 5.0, "left occipital"),
    ((26.0, 8.0, 34.0), 4.0, "right frontal"),
    ((-36.0, -8.0, 30.0), 3.5, "left frontal, small"),
)
"""Centre in template RAS mm, radius in mm, and where that is."""

_LESION_BRIGHTNESS = {Modality.FLAIR: 1.45, Modality.T1: 0.60, Modality.T2: 1.15}


def synthetic_patient(seed: int = 0, spacing: float = 1.0) -> tuple[Study, Volume]:
    """FLAIR, T1 and T2 of a made patient, and the true lesions.

    Args:
        seed: same seed, same patient.
        spacing: edge of the cubic voxels, in mm.

    Returns:
        The study (whole head, a shared grid turned by a few degrees against the template) and the lesion mask on the FLAIR grid,
        (k, j, i) uint8.
    """
    rng = np.random.default_rng(seed)
    template = load_template()
    turn = _turn(rng)
    k, j, i = (round(mm / spacing) for mm in (176, 232, 176))
    shape, affine = (k, j, i), np.diag([-spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [88.0, -126.0, -76.0]
    shift = np.stack([_smooth(shape, 28 / spacing, rng) * 1.2 / spacing for _ in range(3)])
    warp = np.indices(shape, np.float32) + shift
    fine = np.stack(
        [
            resample(Volume(t, COARSE_AFFINE), TEMPLATE_SHAPE, TEMPLATE_AFFINE)
            for t in template.tissues
        ]
    )
    air = np.clip(1 - fine.sum(0, keepdims=True), 0, 1)
    names = np.concatenate([air, _sharpened(fine, rng)]).argmax(0).astype(np.float32)
    index = np.linalg.inv(TEMPLATE_AFFINE) @ turn @ affine
    place = np.tensordot(index[:3, :3][::-1, ::-1], warp, 1) + index[:3, 3][::-1, None, None, None]
    tissues = ndimage.map_coordinates(names, place, order=0, mode="constant").astype(np.uint8)
    lesions = _lesions(place, tissues)
    scans = {}
    for modality, brightness in _BRIGHTNESS.items():
        values = np.array(brightness) * np.concatenate(
            [[1.0], 1 + 0.03 * rng.standard_normal(len(Tissue))]
        )
        image = values[tissues].astype(np.float32)
        for scale in (2, 6, 16):
            image *= 1 + 0.015 * _smooth(shape, scale / spacing, rng)
        image[tissues > Tissue.CEREBELLUM_CORTEX + 1] *= (
            1 + 0.3 * _smooth(shape, 8 / spacing, rng)
        )[tissues > Tissue.CEREBELLUM_CORTEX + 1]
        image = image * (1 - lesions) + lesions * _LESION_BRIGHTNESS[modality] * (
            1 + 0.04 * _smooth(shape, 3 / spacing, rng)
        )
        image *= np.exp(0.05 * _smooth(shape, 90 / spacing, rng))
        image = ndimage.gaussian_filter(image, 0.6 / spacing) + 0.02 * rng.standard_normal(
            shape
        ).astype(np.float32)
        volume = Volume((np.clip(image, 0, None) * 400).astype(np.int16), affine)
        scans[modality] = Scan(volume, modality, f"synthetic patient {seed}, {modality.value}")
    return Study(scans), Volume((lesions > 0.5).astype(np.uint8), affine)


def _sharpened(tissues: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Averaged tissues with the folds put back: smooth noise decides between cortex, white matter and CSF where the mean is unsure."""
    folds = _smooth(tissues.shape[1:], 5, rng)
    sharp = tissues.copy()
    sharp[Tissue.WHITE] *= 1 + 0.25 * folds
    sharp[Tissue.CSF] *= 1 - 0.35 * folds
    return sharp


def _lesions(place: NDArray[np.floating], tissues: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Soft mask 0–1 of `_LESIONS`, never in CSF."""
    mask = np.zeros(tissues.shape, np.float32)
    for centre, radius, _ in _LESIONS:
        i, j, k = (np.linalg.inv(TEMPLATE_AFFINE) @ [*centre, 1.0])[:3]
        apart = np.sqrt((place[0] - k) ** 2 + (place[1] - j) ** 2 + (place[2] - i) ** 2)
        mask = np.maximum(mask, np.clip((radius - apart) / 1.5 + 0.5, 0, 1))
    return mask * (
        (tissues > 0)
        & ~np.isin(
            tissues, [Tissue.VENTRICLE + 1, Tissue.CSF + 1, Tissue.BONE + 1, Tissue.SOFT + 1]
        )
    )


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """RAS mm of the patient → RAS mm of the template: a smaller head, turned by up to 6°."""
    x, y, z = np.deg2rad(rng.uniform(-6, 6, 3))
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn = np.eye(4)
    turn[:3, :3] = rz @ ry @ rx @ np.diag(rng.uniform(1.05, 1.15, 3))
    turn[:3, 3] = rng.uniform(-4, 4, 3)
    return turn


def _smooth(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Gaussian noise of unit variance with features of ``scale`` voxels."""
    small = rng.standard_normal([max(3, round(n / scale) + 2) for n in shape]).astype(np.float32)
    grown = ndimage.zoom(
        small,
        [n / m for n, m in zip(shape, small.shape, strict=True)],
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    return grown / max(float(grown.std()), 1e-6)
