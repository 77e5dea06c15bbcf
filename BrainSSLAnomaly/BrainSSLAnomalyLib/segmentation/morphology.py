"""Cleaning a mask, in millimetres and millilitres whatever the voxels."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from ..core.settings import MorphologySettings

Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]


def radius_in_voxels(radius_mm: float, spacing: Spacing) -> list[int]:
    """Radius along (i, j, k), as SimpleITK wants it. An axis whose voxels are thicker than the radius is left alone."""
    return [int(radius_mm / s + 1e-6) for s in reversed(spacing)]


def dilated(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Grown by an ellipsoid of ``radius_mm``.

    The ellipsoid is taken as runs along the last axis: the mask is widened by each run length once, and the widened copies
    are shifted and joined. For the few millimetres of a slider this is ten times as fast as the filters of SimpleITK, scipy
    or fastmorph, and keeps the live view live.
    """
    ri, rj, rk = radius_in_voxels(radius_mm, spacing)
    out = mask.copy()
    widened = [mask]
    for step in range(1, ri + 1):
        wider = widened[-1].copy()
        wider[..., step:] |= mask[..., :-step]
        wider[..., :-step] |= mask[..., step:]
        widened.append(wider)
    for dk in range(-rk, rk + 1):
        for dj in range(-rj, rj + 1):
            left = 1 - (dk / max(rk, 1)) ** 2 - (dj / max(rj, 1)) ** 2
            if left >= -1e-9:
                run = widened[int(ri * max(left, 0.0) ** 0.5 + 1e-6)]
                out[_ahead(dk), _ahead(dj)] |= run[_ahead(-dk), _ahead(-dj)]
    return out


def eroded(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Shrunk by an ellipsoid of ``radius_mm``; the edge of the array counts as outside."""
    margin = [(n, n) for n in reversed(radius_in_voxels(radius_mm, spacing))]
    outside = dilated(np.pad(~mask, margin, constant_values=True), radius_mm, spacing)
    return ~outside[tuple(slice(a, n - b) for (a, b), n in zip(margin, outside.shape, strict=True))]


def opened(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Eroded, then dilated: what is thinner than twice the radius goes."""
    return dilated(eroded(mask, radius_mm, spacing), radius_mm, spacing) & mask


def closed(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Dilated, then eroded: gaps thinner than twice the radius fill."""
    margin = [(n, n) for n in reversed(radius_in_voxels(radius_mm, spacing))]
    wide = eroded(dilated(np.pad(mask, margin), radius_mm, spacing), radius_mm, spacing)
    return (
        wide[
            tuple(
                slice(low, size - high)
                for (low, high), size in zip(margin, wide.shape, strict=True)
            )
        ]
        | mask
    )


def filled(mask: Mask) -> Mask:
    """Without holes that no path leads out of, in three dimensions (6-connected).

    By components of the outside: seven times as fast as SimpleITK's ``BinaryFillhole``, with the same result.
    """
    outside = cc3d.connected_components(~np.pad(mask, 1), connectivity=6)
    return (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]


def pieces(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.unsignedinteger]]:
    """26-connected pieces of a mask: for each of its voxels the flat index, rising, and the number of its piece, from 1 on.

    What is marked is a small part of its box: everything that is asked of pieces is answered sooner on the list than on the array.
    """
    inside = np.flatnonzero(mask)
    return inside, cc3d.connected_components(mask, connectivity=26).ravel()[inside]


def at(inside: NDArray[np.intp], keep: Mask, shape: tuple[int, ...]) -> Mask:
    """The mask of those of some flat indices that are kept."""
    out: Mask = np.zeros(shape, bool)
    out.reshape(-1)[inside] = keep
    return out


def without_small(mask: Mask, min_volume_ml: float, voxel_ml: float) -> Mask:
    """Without 26-connected pieces smaller than ``min_volume_ml``."""
    inside, numbers = pieces(mask)
    large = np.bincount(numbers) * voxel_ml >= min_volume_ml - 1e-9
    return at(inside, large[numbers], mask.shape)


def apply(
    mask: Mask, brain: Mask, spacing: Spacing, voxel_ml: float, settings: MorphologySettings
) -> Mask:
    """Every step that is switched on, in the order of `MorphologySettings`; the result stays inside the brain.

    Only the box around the mask is worked on, with a margin as wide as the largest radius.
    """
    if not mask.any():
        return mask
    reach = 2 * max(
        settings.opening_mm, settings.closing_mm, settings.dilation_mm, settings.erosion_mm
    )
    box = box_around(mask, [int(np.ceil(reach / s)) + 1 for s in spacing])
    work, near = mask[box], brain[box]
    for step, radius in (
        (opened, settings.opening_mm),
        (closed, settings.closing_mm),
        (dilated, settings.dilation_mm),
        (eroded, settings.erosion_mm),
    ):
        if radius > 0 and any(radius_in_voxels(radius, spacing)):
            work = step(work, radius, spacing) & near
    if settings.fill_holes:
        work = filled(work) & near
    if settings.min_volume_ml > 0:
        work = without_small(work, settings.min_volume_ml, voxel_ml)
    result = np.zeros_like(mask)
    result[box] = work
    return result


def box_around(mask: Mask, margin: list[int]) -> tuple[slice, slice, slice]:
    """Smallest box that holds the mask, grown by ``margin`` voxels along (k, j, i)."""
    slices = []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(
            slice(
                max(0, int(line[0]) - margin[axis]),
                min(mask.shape[axis], int(line[-1]) + 1 + margin[axis]),
            )
        )
    return slices[0], slices[1], slices[2]


def _ahead(step: int) -> slice:
    """Where a copy moved by ``step`` voxels lands."""
    return slice(step, None) if step >= 0 else slice(None, step)
