"""A head that nobody has: a label map that is bent until it is another's, with finer materials.

Label maps know soft tissue, bone and fluid as wholes. Fat, muscle, marrow, dura, falx, choroid
plexus and the lenses are drawn in here.
"""

from __future__ import annotations

import numpy as np
import torch
from BrainSSLAnomalyLib.core.grid import Grid, Shape
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.phantom.materials import Material
from BrainSSLAnomalyLib.phantom.noise import draw_smooth_field
from numpy.typing import NDArray
from scipy import ndimage

from ..data.labels import freesurfer_tissue_table
from .atrophy import widen_fluid_spaces

MATERIALS: dict[Material, tuple[int, ...]] = {
    Material.STRIATUM: (11, 50, 12, 51, 26, 58, 136, 137, 163, 164),
    Material.PALLIDUM: (13, 52),
    Material.LIMBIC: (17, 18, 53, 54),
    Material.PLEXUS: (31, 63),
    Material.BRAINSTEM: (16, 512),
    Material.NERVE: (85, 530),
    Material.ARTERY: (502,),
    Material.VEIN: (514,),
    Material.EYE: (506,),
    Material.MUSCLE: (508,),
    Material.MUCOSA: (509,),
    Material.SKIN: (511,),
    Material.COMPACT_BONE: (515,),
    Material.MARROW: (516,),
}
"""Material → FreeSurfer and whole-head codes, where the tissue is too coarse."""

BENDS_MM = {80.0: 4.5, 40.0: 1.5}
"""Size → standard deviation of the deformation that both sides share."""

UNEVEN_BEND_MM = (40.0, 1.2)
"""Size and standard deviation of the deformation that differs between the sides."""

ATROPHY = 0.15
"""Share of the widening of fluid spaces that `atrophy` draws for an old person."""

SOFTNESS = 0.5
"""Standard deviation, in voxels, of the Gaussian that smooths the stairs of the labels."""

SCALP_FAT_MM = 4.5
"""Depth below the skin that is fat everywhere."""

GALEA_MM = 2
"""Thickness of the darker layer between the fat of the scalp and the skull."""

FOLIUM_RADIANS = 0.17
"""Angle between two fissures of the cerebellum, seen from its middle."""

FOLIUM_CURVE = 0.012
"""How fissures bend forward to the sides, in mm a squared mm."""

VAULT_MM = 9.0
"""All soft tissue this near to the brain's skull is scalp."""


def material_table() -> NDArray[np.uint8]:
    """Create a lookup table (1000,) from FreeSurfer code to `Material`."""
    table = freesurfer_tissue_table()
    for material, codes in MATERIALS.items():
        table[list(codes)] = material
    return table


def bend_head(
    labels: Volume,
    grid: Grid,
    world: NDArray[np.float64],
    push: tuple[tuple[float, float, float], float],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Bend a label map, mirrored, into another head.

    Args:
        labels: FreeSurfer codes at 1 mm.
        grid: of the new head, in template RAS mm.
        world: (4, 4), template RAS mm → RAS mm of the labels.
        push: place in template RAS mm that the surroundings are pushed away from, and by up to
            what share of their distance.
        rng: the only source of randomness.

    Returns:
        (k, j, i) codes of `Material` on the grid.
    """
    place = np.indices(grid.shape, np.float32) + _draw_bend(grid.shape, rng)
    centre = np.array(grid.to_index(push[0]), np.float32).reshape(3, 1, 1, 1)
    apart = place - centre
    place -= apart * push[1] * np.exp(-((apart**2).sum(0) / 20.0**2))
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    index = np.linalg.inv(labels.affine) @ world @ mirror @ grid.affine
    place = np.tensordot(index[:3, :3][::-1, ::-1].astype(np.float32), place, 1)
    place += index[:3, 3][::-1, None, None, None].astype(np.float32)
    codes = material_table()[labels.array.astype(int)]
    place = _age(place, codes, rng)
    return _sample_smoothly(codes, place)


def _draw_bend(shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a deformation (3, k, j, i) in voxels, mostly the same on the left and the right."""
    bend = np.zeros((3, *shape), np.float32)
    for axis, sign in enumerate((1, 1, -1)):
        for size, strength in BENDS_MM.items():
            field = strength * draw_smooth_field(shape, size, rng)
            bend[axis] += (field + sign * field[..., ::-1]) / np.float32(np.sqrt(2))
        size, strength = UNEVEN_BEND_MM
        bend[axis] += strength * draw_smooth_field(shape, size, rng)
    found: NDArray[np.float32] = bend - bend.mean((1, 2, 3), keepdims=True)
    return found


def _age(
    place: NDArray[np.float32], codes: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Widen ventricles and sulci a little."""
    tissues = ndimage.map_coordinates(codes, place, order=0)
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 30)))
    aged = widen_fluid_spaces(
        torch.from_numpy(place), torch.from_numpy(tissues.astype(np.int64)), generator, spacing=1.0
    )
    found: NDArray[np.float32] = place + ATROPHY * (aged.numpy() - place)
    return found


def _sample_smoothly(codes: NDArray[np.uint8], place: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the likeliest material at each place (3, k, j, i), without the stairs of voxels."""
    best = np.zeros(place.shape[1:], np.float32)
    found = np.zeros(place.shape[1:], np.uint8)
    for code in np.unique(codes):
        soft = ndimage.gaussian_filter((codes == code).astype(np.float32), SOFTNESS)
        here = ndimage.map_coordinates(soft, place, np.float32, order=1, cval=float(code == 0))
        better = here > best
        found[better], best[better] = code, here[better]
    return found


def refine_materials(materials: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw what the labels do not tell apart.

    Args:
        materials: (k, j, i) codes of `Material`; axes rise to superior, anterior, right; 1 mm.
        rng: the only source of randomness.

    Returns:
        A copy with fat, muscle, marrow, dura, falx, choroid plexus and lenses.
    """
    out: NDArray[np.uint8] = materials.copy()
    _split_soft_tissue(out, rng)
    _draw_marrow(out, rng)
    _draw_dura(out)
    _draw_folia(out, rng)
    _draw_plexus(out, rng)
    _draw_lenses(out)
    return out


def _split_soft_tissue(out: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Tell fat from muscle: fat under the skin, over the skull, in the orbits, between muscles."""
    soft = out == Material.SOFT
    outside = ndimage.label(out == Material.AIR)[0]
    outside = outside == outside[0, 0, 0]
    depth = ndimage.distance_transform_edt(~outside)
    brain = (out > 0) & (out <= Material.CEREBELLUM_CORTEX)
    vault = ndimage.distance_transform_edt(~brain) < VAULT_MM
    orbit = ndimage.distance_transform_edt(out != Material.EYE) < 16
    wobble = 1.5 * draw_smooth_field(out.shape, 12, rng)
    strands = draw_smooth_field(out.shape, 7, rng) + 0.6 * draw_smooth_field(out.shape, 3, rng)
    fat = (depth < SCALP_FAT_MM + 1.5 + wobble) | vault | orbit | (strands > 1.0)
    galea = ndimage.binary_dilation(out == Material.COMPACT_BONE, iterations=GALEA_MM) & vault
    out[soft & (~fat | galea)] = Material.MUSCLE
    out[soft & fat & ~galea] = Material.FAT


def _draw_marrow(out: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill thick bone with marrow: the diploe of the vault, and the bones of the base."""
    bone = np.isin(out, (Material.COMPACT_BONE, Material.MARROW))
    depth = ndimage.distance_transform_edt(bone)
    needed = 2.1 + 0.5 * draw_smooth_field(out.shape, 8, rng)
    out[bone] = Material.COMPACT_BONE
    out[bone & (depth > needed)] = Material.MARROW


def _draw_dura(out: NDArray[np.uint8]) -> None:
    """Line the skull with dura, and hang the falx between the hemispheres."""
    csf = out == Material.CSF
    skull = np.isin(out, (Material.COMPACT_BONE, Material.MARROW))
    lining = csf & ndimage.binary_dilation(skull)
    cerebrum = np.isin(out, (Material.WHITE, Material.CORTEX))
    middle = out.shape[2] // 2
    sides = []
    for part in (slice(0, middle), slice(middle, None)):
        one = np.zeros_like(cerebrum)
        one[..., part] = cerebrum[..., part]
        sides.append(ndimage.distance_transform_edt(~one))
    between = np.abs(sides[0] - sides[1]) < 1.0
    above = np.zeros_like(csf)
    k = np.nonzero(out == Material.VENTRICLE)[0]
    above[int(np.percentile(k, 60)) :] = True
    reach = np.maximum(*sides) < 12
    out[lining | (csf & between & above & reach)] = Material.DURA


def _draw_folia(out: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fold the cerebellum: fissures that run from side to side, blades of white matter between.

    In every sagittal plane they point at its middle. One fissure in three is deep.
    """
    cortex = out == Material.CEREBELLUM_CORTEX
    white = out == Material.CEREBELLUM_WHITE
    k, j, i = np.nonzero(cortex)
    middle = [axis.mean() for axis in np.nonzero(white)]
    forward = j - middle[1] - 6 - FOLIUM_CURVE * (i - middle[2]) ** 2
    radius, angle = np.hypot(k - middle[0], forward), np.arctan2(k - middle[0], forward)
    wobble = 0.5 * draw_smooth_field(out.shape, 14, rng) + 0.2 * draw_smooth_field(
        out.shape, 5, rng
    )
    phase = angle / FOLIUM_RADIANS + wobble[k, j, i]
    number = np.round(phase)
    apart_mm = np.abs(phase - number) * FOLIUM_RADIANS * np.maximum(radius, 8)
    depth = ndimage.distance_transform_edt(cortex | white)[k, j, i]
    reach = np.where(number % 3 == 0, 9.0, 4.0)
    fissure = (apart_mm < 0.55) & (depth < reach)
    blade = (np.abs(phase - number) > 0.36) & (depth > 3) & (number % 3 != 1)
    out[k[blade], j[blade], i[blade]] = Material.CEREBELLUM_WHITE
    out[k[fissure], j[fissure], i[fissure]] = Material.FISSURE


def _draw_plexus(out: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Hang choroid plexus into the lateral ventricles: along their floor, thick in the atria."""
    k, j, i = np.nonzero(out == Material.VENTRICLE)
    middle = out.shape[2] / 2
    thalamus = np.argwhere(out == Material.THALAMUS)
    low, back = thalamus[:, 0].mean(), thalamus[:, 1].min()
    wobble = draw_smooth_field(out.shape, 3, rng)[k, j, i]
    for side in (-1, 1):
        here = (side * (i - middle) > 8) & (k > low - 8) & (np.abs(j - back) < 14)
        centre = [np.median(axis[here]) for axis in (k, j, i)]
        scales = (3.8, 3.6, 2.0)
        apart = sum(
            ((axis - c) / s) ** 2 for axis, c, s in zip((k + 3, j, i), centre, scales, strict=True)
        )
        glomus = (side * (i - middle) > 4) & (np.sqrt(apart) + 0.35 * wobble < 1)
        out[k[glomus], j[glomus], i[glomus]] = Material.PLEXUS
    near = ndimage.distance_transform_edt(out != Material.THALAMUS)[k, j, i] < 3.2
    strip = near & (np.abs(i - middle) > 3) & (k > low) & (wobble > -0.3)
    out[k[strip], j[strip], i[strip]] = Material.PLEXUS


def _draw_lenses(out: NDArray[np.uint8]) -> None:
    """Put a lens into the front of each eye."""
    eyes, count = ndimage.label(out == Material.EYE)
    for number in range(1, count + 1):
        k, j, i = np.nonzero(eyes == number)
        if len(k) < 1000:
            continue
        front = j.max() - 4
        lens = ((j - front) / 2.0) ** 2 + (((k - k.mean()) ** 2 + (i - i.mean()) ** 2) / 4.2**2) < 1
        out[k[lens], j[lens], i[lens]] = Material.LENS
