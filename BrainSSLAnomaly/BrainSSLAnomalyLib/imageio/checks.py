"""Checks that refuse, in one sentence, what cannot be a structural MRI of a brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UnsuitableScan
from ..core.study import Volume

MIN_SLICES = 8
FIELD_OF_VIEW_MM = (80.0, 700.0)
MAX_VOXELS = 600_000_000
_EXPORT = "export one structural MRI volume of the head and try again"


def drop_trailing_axes(array: NDArray, name: str) -> NDArray:
    """Return an array (i, j, k[, 1, …]) as (i, j, k).

    Raises:
        UnsuitableScan: several time points, channels, or a single slice.
    """
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim > 3:
        raise UnsuitableScan(
            f"{name} has {array.ndim} axes ({array.shape[-1]} time points or channels)", _EXPORT
        )
    if array.ndim < 3:
        raise UnsuitableScan(f"{name} is a picture of {array.ndim} axes, not a volume", _EXPORT)
    return array


def check_dtype(dtype: np.dtype, name: str) -> None:
    """Refuse colour and complex voxels.

    Raises:
        UnsuitableScan: neither integers nor floating-point numbers.
    """
    if dtype.fields is not None:
        raise UnsuitableScan(
            f"{name} is a colour picture", "give the scan itself, not a rendering of it"
        )
    if np.issubdtype(dtype, np.complexfloating):
        raise UnsuitableScan(f"{name} holds complex numbers", "give the magnitude image")
    if not (
        np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating) or dtype == np.bool_
    ):
        raise UnsuitableScan(f"{name} holds voxels of type {dtype}", _EXPORT)


def check_grid(shape_ijk: tuple[int, ...], affine: NDArray[np.float64], name: str) -> None:
    """Refuse grids that cannot hold a brain; needs no voxels, so it comes before they are read.

    Raises:
        UnsuitableScan: non-invertible affine, too few slices, too many voxels, field of view too
            small or too large.
    """
    if any(n < 1 for n in shape_ijk):
        raise UnsuitableScan(f"{name} is empty", "export the scan again")
    if min(shape_ijk) < MIN_SLICES:
        raise UnsuitableScan(
            f"{name} has only {min(shape_ijk)} slices",
            f"give a scan with at least {MIN_SLICES} slices through the whole brain",
        )
    if int(np.prod([int(n) for n in shape_ijk], dtype=object)) > MAX_VOXELS:
        raise UnsuitableScan(
            f"{name} claims {' × '.join(map(str, shape_ijk))} voxels",
            "export the scan again; its header is probably damaged",
        )
    if not np.isfinite(affine).all():
        raise UnsuitableScan(
            f"{name} has no usable place in space (its affine is not finite)",
            "export the scan again with its orientation",
        )
    columns = np.linalg.norm(affine[:3, :3], axis=0)
    if (columns < 1e-4).any() or abs(
        np.linalg.det(affine[:3, :3] / np.maximum(columns, 1e-12))
    ) < 0.05:
        raise UnsuitableScan(
            f"{name} has no usable place in space (its affine cannot be inverted)",
            "export the scan again with its orientation",
        )
    extent = columns * np.array(shape_ijk)
    low, high = FIELD_OF_VIEW_MM
    if (extent < low).any():
        raise UnsuitableScan(
            f"{name} covers only {extent.min():.0f} mm along one axis, less than a brain",
            "give a scan of the whole brain, with voxel sizes in mm",
        )
    if (extent > high).any():
        raise UnsuitableScan(
            f"{name} covers {extent.max():.0f} mm along one axis, more than a head",
            "check the voxel size; it must be in mm",
        )


def check_intensities(volume: Volume, name: str) -> None:
    """Refuse voxels that are no MRI of a head.

    Raises:
        UnsuitableScan: not finite, constant, a CT, or a label map.
    """
    array = volume.array
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise UnsuitableScan(
            f"{name} has {count} voxels that are not numbers (NaN or infinite)",
            "export the scan again, or set them to 0",
        )
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise UnsuitableScan(
            f"{name} has the same value {low:g} everywhere", "export the scan again"
        )
    sample = array.ravel()[:: max(1, array.size // 200_000)]
    values = np.unique(sample)
    if values.size <= 8:
        raise UnsuitableScan(
            f"{name} holds only {values.size} different values: it looks like a mask or label map",
            "give the scan it was drawn on",
        )
    air = (sample < -900).mean()
    if low >= -2100 and low <= -900 and air > 0.1 and (np.abs(sample) < 150).mean() > 0.05:
        raise UnsuitableScan(
            f"{name} looks like a CT (air at {low:.0f} Hounsfield units)",
            "give an MRI; this program knows nothing about CT",
        )
    if (sample != np.median(sample)).mean() < 0.01:
        raise UnsuitableScan(f"{name} is almost empty", "check that the right file was exported")
