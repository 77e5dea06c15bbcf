"""The lesions of the synthetic patient, drawn into a map of materials."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.phantom.lesions import CORE_CODE, LESIONS, Lesion, LesionKind
from BrainSSLAnomalyLib.phantom.materials import Material
from BrainSSLAnomalyLib.phantom.noise import draw_smooth_field
from numpy.typing import NDArray
from scipy import ndimage

ROUGHNESS = {
    LesionKind.DEMYELINATED: 0.16,
    LesionKind.HYPERINTENSITY: 0.40,
    LesionKind.TUMOUR: 0.22,
}
"""Spread of the radius of a lesion, as a share of it."""

OEDEMA_MM = 8.0
"""How far oedema spreads in white matter."""


def plant_lesions(
    materials: NDArray[np.uint8], grid: Grid, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw every lesion of `LESIONS`.

    Args:
        materials: (k, j, i) codes of `Material`, 1 mm.
        grid: of the map, in template RAS mm.
        rng: the only source of randomness.

    Returns:
        (k, j, i) 0, number of the lesion + 1, or `CORE_CODE` in the solid part of the tumour.
    """
    white = materials == Material.WHITE
    solid = white | (materials == Material.CORTEX)
    out = np.zeros(materials.shape, np.uint8)
    for number, lesion in enumerate(LESIONS):
        shape = _ellipsoid(lesion, grid, rng)
        allowed = white if lesion.kind is LesionKind.HYPERINTENSITY else solid
        mask = _largest_part(shape & allowed)
        if lesion.kind is LesionKind.TUMOUR:
            out[_spread_in(white, mask, rng)] = number + 1
            out[mask] = CORE_CODE
        else:
            out[mask & (out == 0)] = number + 1
    return out


def _ellipsoid(lesion: Lesion, grid: Grid, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return an ellipsoid with an irregular edge, in the patient's mm, which are voxels."""
    centre = np.array(grid.to_index(lesion.centre)).reshape(3, 1, 1, 1)
    apart = np.indices(grid.shape, np.float32) - centre.astype(np.float32)
    axis = np.array(lesion.axis[::-1], np.float32) / np.linalg.norm(lesion.axis)
    along = np.tensordot(axis, apart, 1)
    across = np.maximum((apart**2).sum(0) - along**2, 0)
    long, short = lesion.radii_mm
    wobble = draw_smooth_field(grid.shape, max(3.0, short), rng)
    radius = np.sqrt((along / long) ** 2 + across / short**2)
    found = radius + ROUGHNESS[lesion.kind] * wobble < 1
    inside: NDArray[np.bool_] = found & (radius < 1.6)
    return inside


def _spread_in(
    white: NDArray[np.bool_], core: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return oedema: what lies within some way of the core through white matter."""
    reached = ndimage.binary_dilation(core, iterations=2) & white
    ease = OEDEMA_MM * (1 + 0.3 * draw_smooth_field(white.shape, 16, rng))
    near = white & (ndimage.distance_transform_edt(~core) < ease)
    opened = ndimage.binary_opening(near, iterations=1)
    found: NDArray[np.bool_] = ndimage.binary_propagation(reached & opened, mask=opened)
    return found


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    found: NDArray[np.bool_] = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return found
