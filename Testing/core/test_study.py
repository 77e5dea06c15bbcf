"""Volumes come in from nibabel and SimpleITK in their place, or are refused in a sentence."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from BrainSSLAnomalyLib.core.errors import UnsuitableScan
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.imageio import read_scan
from hypothesis import given
from hypothesis import strategies as st

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 3, -50], [0, 1.5, 0, 7], [0, 0, 0, 1]])


def nifti(shape=(4, 5, 6), affine=AFFINE) -> nibabel.Nifti1Image:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return nibabel.Nifti1Image(array, affine)


@given(st.tuples(*[st.integers(0, n - 1) for n in (4, 5, 6)]))
def test_a_voxel_of_nibabel_keeps_its_value_and_its_place(index):
    image = nifti()
    volume = Volume.from_nibabel(image)
    i, j, k = index
    assert volume.array[k, j, i] == image.dataobj[i, j, k]
    np.testing.assert_allclose(volume.grid.to_ras((k, j, i)), (AFFINE @ [i, j, k, 1])[:3])


def test_nibabel_and_simpleitk_give_the_volume_that_the_file_gives(tmp_path):
    array = np.random.default_rng(0).integers(1, 900, (70, 120, 50)).astype(np.int16)
    path = tmp_path / "flair.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, AFFINE), path)
    by_nibabel = Volume.from_nibabel(nibabel.load(path))
    by_sitk = Volume.from_sitk(sitk.ReadImage(str(path)))
    by_us = read_scan(path).volume
    for volume in (by_nibabel, by_sitk):
        np.testing.assert_array_equal(volume.array, by_us.array)
        np.testing.assert_allclose(volume.affine, by_us.affine, atol=1e-4)


def test_metres_become_millimetres_and_trailing_axes_of_length_1_go():
    image = nifti((4, 5, 6, 1))
    image.header.set_xyzt_units("meter")
    volume = Volume.from_nibabel(image)
    assert volume.array.shape == (6, 5, 4)
    np.testing.assert_allclose(volume.affine[:3], 1000 * AFFINE[:3])


@pytest.mark.parametrize(
    "image", [nifti((4, 5, 6, 2)), nibabel.Spm99AnalyzeImage(np.zeros((4, 5), np.int16), None)]
)
def test_what_is_no_single_volume_of_nibabel_is_refused(image):
    with pytest.raises(UnsuitableScan):
        Volume.from_nibabel(image)


@pytest.mark.parametrize(
    "image", [sitk.Image(4, 5, sitk.sitkInt16), sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3)]
)
def test_what_is_no_single_volume_of_simpleitk_is_refused(image):
    with pytest.raises(UnsuitableScan, match="three axes"):
        Volume.from_sitk(image)
