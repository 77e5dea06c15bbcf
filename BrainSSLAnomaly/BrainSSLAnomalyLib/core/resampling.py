"""Volumes from one grid to another: SimpleITK does the work, affines stay in RAS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .study import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS ⇄ LPS."""


def to_sitk(volume: Volume, dtype: type = np.float32) -> sitk.Image:
    """As SimpleITK sees it, in LPS. Only for grids with perpendicular axes (see `resample` for sheared ones)."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, dtype))
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def from_sitk(image: sitk.Image) -> Volume:
    """Back from SimpleITK."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image), LPS @ affine)


def ras_matrix(transform: sitk.Transform) -> NDArray[np.float64]:
    """(4, 4) between RAS points of any linear SimpleITK transform."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    moved = np.array([transform.TransformPoint(p.tolist()) for p in points])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (moved[1:] - moved[0]).T, moved[0]
    return LPS @ matrix @ LPS


def resample(
    volume: Volume,
    shape: Sequence[int],
    affine: NDArray[np.floating],
    world: NDArray[np.floating] | None = None,
    *,
    interpolation: int = sitk.sitkLinear,
    fill: float = 0.0,
) -> NDArray[np.float32]:
    """The volume seen on another grid.

    Works in voxel space, so that sheared and left-handed affines are exact.

    Args:
        volume: what to look at.
        shape: (k, j, i) of the wanted grid.
        affine: of the wanted grid, (i, j, k) → RAS mm.
        world: (4, 4), maps RAS mm of the wanted grid to RAS mm of ``volume``; identity by default.
        interpolation: a SimpleITK interpolator.
        fill: value outside the volume.

    Returns:
        (k, j, i) float32.
    """
    world = np.eye(4) if world is None else world
    index = np.linalg.inv(volume.affine) @ world @ affine
    if tuple(shape) == volume.array.shape and np.allclose(index, np.eye(4), atol=1e-6):
        return np.array(volume.array, np.float32)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index[:3, :3].ravel().tolist())
    transform.SetTranslation(index[:3, 3].tolist())
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array, np.float32))
    reference = sitk.Image([int(n) for n in reversed(shape)], sitk.sitkUInt8)
    return sitk.GetArrayFromImage(
        sitk.Resample(image, reference, transform, interpolation, float(fill))
    )
