"""Interpolation along axes gives what SimpleITK gives in space, in every order of axes."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import _source_axes, resample
from BrainSSLAnomalyLib.core.study import Volume


def in_space(volume: Volume, grid: Grid, fill: float) -> np.ndarray:
    """The same by SimpleITK."""
    index = np.linalg.inv(volume.affine) @ grid.affine
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(index[:3, :3].ravel().tolist())
    transform.SetTranslation(index[:3, 3].tolist())
    reference = sitk.Image([int(n) for n in reversed(grid.shape)], sitk.sitkUInt8)
    image = sitk.GetImageFromArray(volume.array.astype(np.float32))
    return sitk.GetArrayFromImage(sitk.Resample(image, reference, transform, sitk.sitkLinear, fill))


def affine_of(order: tuple[int, ...], signs: tuple[int, ...], spacing: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(signs) * spacing)[:, list(order)]
    return affine


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_grids_with_parallel_axes_are_interpolated_as_in_space(order):
    rng = np.random.default_rng(0)
    array = rng.standard_normal((9, 12, 7)).astype(np.float32)
    for signs in product((-1, 1), repeat=3):
        volume = Volume(array, affine_of(order, signs, 1.9))
        affine = np.diag([1.1, 0.9, 2.3, 1.0])
        affine[:3, 3] = rng.uniform(-12, 2, 3)
        grid = Grid((11, 16, 18), affine)
        assert _source_axes(np.linalg.inv(volume.affine) @ affine) is not None
        np.testing.assert_allclose(
            resample(volume, grid, fill=-3.0), in_space(volume, grid, -3.0), atol=2e-5
        )


def test_one_slice_and_whole_steps_are_interpolated_too():
    volume = Volume(np.arange(20, dtype=np.float32).reshape(1, 4, 5), np.eye(4))
    shifted = np.eye(4)
    shifted[:3, 3] = (1, 2, 0)
    out = resample(volume, Grid((1, 2, 6), shifted), fill=-1.0)
    assert out[0, 0].tolist() == [11, 12, 13, 14, -1, -1]
    assert out[0, 1].tolist() == [16, 17, 18, 19, -1, -1]


def test_turned_grids_are_not_taken_for_parallel_ones():
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]]
    assert _source_axes(turned) is None
