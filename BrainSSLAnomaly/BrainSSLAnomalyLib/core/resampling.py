"""Volumes from one grid to another. SimpleITK does the work; affines stay in RAS."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import DTypeLike, NDArray

from .grid import Grid
from .study import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS ⇄ LPS."""


def to_sitk(volume: Volume, dtype: DTypeLike = np.float32) -> sitk.Image:
    """Return the volume as a SimpleITK image, in LPS.

    Only for grids with perpendicular axes; `resample` is exact for sheared ones too.
    """
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, dtype))
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def from_sitk(image: sitk.Image) -> Volume:
    """Return a SimpleITK image as a volume, in RAS."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), LPS @ affine)


def ras_matrix(transform: sitk.Transform) -> NDArray[np.float64]:
    """Return the (4, 4) matrix between RAS points of any linear SimpleITK transform."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    moved = np.array([transform.TransformPoint(p.tolist()) for p in points])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    return LPS @ matrix @ LPS


def resample(
    volume: Volume,
    grid: Grid,
    world: NDArray[np.floating] | None = None,
    *,
    nearest: bool = False,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """Return the volume interpolated on another grid.

    Works in voxel space, so that sheared and left-handed affines are exact.

    Args:
        volume: to be resampled.
        grid: to resample it on.
        world: (4, 4), maps RAS mm of ``grid`` to RAS mm of ``volume``; identity by default.
        nearest: take the nearest voxel instead of interpolating linearly, as label maps need.
        fill: value outside the volume.

    Returns:
        (k, j, i) float32, in the shape of ``grid``.
    """
    world = np.eye(4) if world is None else world
    index = np.linalg.inv(volume.affine) @ world @ grid.affine
    if grid.shape == volume.array.shape and np.allclose(index, np.eye(4), atol=1e-6):
        return np.array(volume.array, np.float32)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index[:3, :3].ravel().tolist())
    transform.SetTranslation(index[:3, 3].tolist())
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, np.float32))
    reference = sitk.Image([int(n) for n in reversed(grid.shape)], sitk.sitkUInt8)
    interpolation = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    resampled = sitk.Resample(image, reference, transform, interpolation, float(fill))
    array: NDArray[np.float32] = sitk.GetArrayFromImage(resampled)
    return array
