"""Draw a scan from a map of materials: paint, then acquire.

The steps are functions of maps and a generator, so that training can draw with them too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.grid import bounding_box
from ..core.study import Modality
from .lesions import CORE_BRIGHTNESS, CORE_CODE, LESION_BRIGHTNESS, LESIONS
from .materials import TEXTURE, material_brightness
from .noise import draw_smooth_field

TEXTURE_MM = (2.0, 5.0, 14.0)
"""Sizes of the features of the texture."""

MATERIAL_SPREAD = 0.02
"""Spread of the mean of a material between patients, as a share of it."""

LESION_SPREAD = 0.05
"""Spread of the brightness between lesions, as a share of it."""

LESION_TEXTURE = 0.05
"""Spread of the brightness within a lesion, as a share of it."""

CORE_TEXTURE = 0.14
"""The same of the solid part of a tumour."""

LESION_EDGE_MM = 0.7
"""Standard deviation of the Gaussian that a lesion fades by."""

PARTIAL_VOLUME_MM = 0.5
"""Standard deviation of the Gaussian that tissues mix by at their borders."""

BIAS_FIELD_MM, BIAS_FIELD_STRENGTH = 90.0, 0.05

NOISE = {Modality.FLAIR: 0.020, Modality.T1: 0.017, Modality.T2: 0.018}
"""Standard deviation of the noise in both channels, white matter on T1 being 1."""


def draw_texture(
    materials: NDArray[np.uint8], rng: np.random.Generator, *, factor: int = 1, voxel_mm: float = 1
) -> NDArray[np.float32]:
    """Draw the texture that the contrasts of one patient share.

    Args:
        materials: (k, j, i) codes of `Material`.
        rng: the only source of randomness.
        factor: so many voxels are averaged along each axis.
        voxel_mm: edge of the voxels of the map.

    Returns:
        (k, j, i) float32 on the averaged grid, share of the brightness by which it departs from
        the mean of its material.
    """
    strength = average_blocks(TEXTURE[materials], factor)
    edge = voxel_mm * factor
    parts = [draw_smooth_field(strength.shape, mm / edge, rng) for mm in TEXTURE_MM]
    total: NDArray[np.float32] = sum(parts[1:], parts[0]) / np.float32(np.sqrt(len(parts)))
    return total * strength


def draw_contrast(
    materials: NDArray[np.uint8],
    lesions: NDArray[np.uint8],
    texture: NDArray[np.float32],
    modality: Modality,
    rng: np.random.Generator,
    *,
    voxel_mm: float = 1,
) -> NDArray[np.float32]:
    """Draw the noiseless image of a head in one contrast.

    Args:
        materials: (k, j, i) codes of `Material`; a map of `Tissue` + 1 will do.
        lesions: (k, j, i) 0, or code of a lesion.
        texture: from `draw_texture`. Where its voxels are larger by a whole factor, the brightness
            is averaged over each of them.
        modality: T1, T2 or FLAIR.
        rng: the only source of randomness.
        voxel_mm: edge of the voxels of the maps.

    Returns:
        (k, j, i) float32 in the shape of ``texture``, white matter on T1 being 1.
    """
    means = material_brightness(modality)
    means = means * (1 + MATERIAL_SPREAD * rng.standard_normal(means.shape)).astype(np.float32)
    image = _paint_lesions(means[materials], lesions, modality, rng, voxel_mm)
    factor = materials.shape[0] // texture.shape[0]
    image = average_blocks(image, factor) * (1 + texture)
    if factor == 1:
        image = ndimage.gaussian_filter(image, PARTIAL_VOLUME_MM / voxel_mm, truncate=2.5)
    return np.maximum(image, 0)


def average_blocks(array: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average cubes of ``factor`` voxels a side; what does not fill a cube is left out.

    Args:
        array: (k, j, i).
        factor: 1 or more.

    Returns:
        (k, j, i), each axis shorter by the factor.

    Example:
        >>> average_blocks(np.arange(8, dtype=np.float32).reshape(2, 2, 2), 2).tolist()
        [[[3.5]]]
    """
    if factor == 1:
        return array
    k, j, i = (n // factor for n in array.shape)
    cropped = array[: k * factor, : j * factor, : i * factor]
    for axis, count in enumerate((k, j, i)):
        split = (*cropped.shape[:axis], count, factor, *cropped.shape[axis + 1 :])
        cropped = cropped.reshape(split).mean(axis + 1, dtype=np.float32)
    return cropped


def acquire(
    image: NDArray[np.float32], modality: Modality, voxel_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return what a scanner makes of an image: a bias field, and the noise of a magnitude image.

    Args:
        image: (k, j, i) brightness.
        modality: T1, T2 or FLAIR.
        voxel_mm: edge of the voxels.
        rng: the only source of randomness.

    Returns:
        (k, j, i) float32, not negative.
    """
    bias = BIAS_FIELD_STRENGTH * draw_smooth_field(image.shape, BIAS_FIELD_MM / voxel_mm, rng)
    sigma = np.float32(NOISE[modality])
    real = image * np.exp(bias) + sigma * rng.standard_normal(image.shape, np.float32)
    found: NDArray[np.float32] = np.hypot(
        real, sigma * rng.standard_normal(image.shape, np.float32)
    )
    return found


def _paint_lesions(
    image: NDArray[np.float32],
    lesions: NDArray[np.uint8],
    modality: Modality,
    rng: np.random.Generator,
    voxel_mm: float,
) -> NDArray[np.float32]:
    """Change an image in place, so that it holds lesions that fade into their surroundings."""
    of_kind = LESION_BRIGHTNESS[modality]
    usual = np.array([0, *(of_kind[n.kind] for n in LESIONS), CORE_BRIGHTNESS[modality]])
    wanted = usual * (1 + LESION_SPREAD * rng.standard_normal(usual.shape))
    grain = np.full(usual.shape, LESION_TEXTURE)
    grain[CORE_CODE] = CORE_TEXTURE
    if not lesions.any():
        return image
    box = bounding_box(lesions > 0, (4, 4, 4))
    codes, sigma = lesions[box], LESION_EDGE_MM / voxel_mm
    share = ndimage.gaussian_filter((codes > 0).astype(np.float32), sigma)
    noise = draw_smooth_field(codes.shape, 4 / voxel_mm, rng)
    inner = (wanted[codes] * (1 + grain[codes] * noise)).astype(np.float32)
    image[box] = image[box] * (1 - share) + ndimage.gaussian_filter(inner, sigma)
    return image
