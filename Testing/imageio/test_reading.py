"""Scans that can be read are read in their place; what is no scan is refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from BrainSSLAnomalyLib.core.errors import (
    AmbiguousInput,
    BrainSSLAnomalyError,
    UnreadableScan,
    UnsuitableScan,
)
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.imageio import read_scan, read_study
from BrainSSLAnomalyLib.imageio.contrast import guess_from_name, guess_from_tags
from hypothesis import given, settings
from hypothesis import strategies as st
from support.malformed import MALFORMED, head

FLAIR = Modality.FLAIR


def assert_one_sentence(error: BaseException) -> None:
    words = str(error)
    assert words.endswith(".") and "\n" not in words and ". " not in words and len(words) < 400, (
        words
    )
    assert not any(bad in words for bad in ("Traceback", "0x", "object at", "None")), words


def save(
    path: Path, array: np.ndarray, affine: np.ndarray | None = None, slope: float | None = None
) -> Path:
    image = nib.nifti1.Nifti1Image(array, np.diag([4.0, 4, 4, 1]) if affine is None else affine)
    if slope:
        image.header.set_slope_inter(slope, 5)
    image.to_filename(path)
    return path


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_malformed_input_is_refused_in_one_sentence(name, tmp_path):
    path = MALFORMED[name](tmp_path)
    with pytest.raises(BrainSSLAnomalyError) as caught:
        read_scan(path, FLAIR)
    assert_one_sentence(caught.value)


def test_there_are_at_least_60_malformed_inputs():
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_the_same_volume_in_any_format_has_the_same_voxels_in_the_same_place(suffix, tmp_path):
    array = head()
    path = tmp_path / f"scan{suffix}"
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([3.0, 4.0, 5.0])
    image.SetOrigin([-70.0, 20.0, -30.0])
    image.SetDirection([0.0, -1, 0, 1, 0, 0, 0, 0, 1])
    sitk.WriteImage(image, str(path))
    volume = read_scan(path, FLAIR).volume
    assert np.array_equal(volume.array, array)
    i, j, k = 7, 3, 11
    lps = np.array(image.TransformIndexToPhysicalPoint([i, j, k]))
    assert np.allclose((volume.affine @ [i, j, k, 1])[:3], lps * [-1, -1, 1], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(25, 30)] * 3),
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([-4.0, 4.0])] * 3),
    st.floats(0.1, 20),
)
def test_any_grid_of_scaled_integers_survives_writing_and_reading(
    tmp_path_factory, seed, shape, order, steps, slope
):
    array = np.random.default_rng(seed).integers(-50, 3000, shape).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(steps)[:, order]
    path = tmp_path_factory.mktemp("grid") / "t1.nii.gz"
    image = nib.nifti1.Nifti1Image(array, affine)
    image.header.set_slope_inter(slope, 5)
    image.to_filename(path)
    volume = read_scan(path).volume
    assert np.allclose(volume.array, array.T * np.float32(slope) + 5, rtol=1e-4, atol=1e-3)
    assert np.allclose(volume.affine, affine)


def test_trailing_axes_of_length_one_are_dropped(tmp_path):
    volume = read_scan(save(tmp_path / "flair.nii.gz", head().T[..., None, None])).volume
    assert volume.array.shape == head().shape


def test_big_endian_and_boolean_free_dtypes_are_read_as_they_are(tmp_path):
    for dtype in (">i2", ">f4", "<f8", "u1", "u2", "i4"):
        array = (head() / 8).astype(dtype)
        assert np.array_equal(read_scan(save(tmp_path / "flair.nii", array.T)).volume.array, array)


def test_unicode_spaces_and_upper_case_in_paths_are_no_obstacle(tmp_path):
    folder = tmp_path / "Ünïcode mit Leer zeichen"
    folder.mkdir()
    assert (
        read_scan(save(folder / "FLÄIR Kopf.NII.GZ".replace("Ä", "A"), head().T)).modality is FLAIR
    )


def test_contrasts_are_guessed_from_names_and_masks_are_no_scans():
    assert guess_from_name("sub-01_FLAIR.nii.gz") is FLAIR
    assert guess_from_name("t2_flair.nii") is FLAIR
    assert guess_from_name("T2_TIRM_dark-fluid") is FLAIR
    assert guess_from_name("sub-01_ce-gd_T1w.nii.gz") in (Modality.T1, Modality.T1C)
    assert guess_from_name("t1c.nii.gz") is Modality.T1C
    assert guess_from_name("t1_post.nii.gz") is Modality.T1C
    assert guess_from_name("BRATS_001_t1ce.nii.gz") is Modality.T1C
    assert guess_from_name("MPRAGE.nii.gz") is Modality.T1
    assert guess_from_name("t2star.nii.gz") is None
    assert guess_from_name("flair_lesion_mask.nii.gz") is None
    assert guess_from_name("patient17.nii.gz") is None
    assert guess_from_name("pd.nii.gz") is Modality.PD


def test_tags_count_where_the_description_names_no_contrast():
    assert (
        guess_from_tags({"EchoTime": 120, "RepetitionTime": 9000, "InversionTime": 2500})[0]
        is FLAIR
    )
    assert (
        guess_from_tags({"EchoTime": 3, "RepetitionTime": 2300, "InversionTime": 900})[0]
        is Modality.T1
    )
    assert guess_from_tags({"EchoTime": 100, "RepetitionTime": 5000})[0] is Modality.T2
    assert (
        guess_from_tags({"SeriesDescription": "t1_mprage", "ContrastBolusAgent": "Gadovist"})[0]
        is Modality.T1C
    )
    assert guess_from_tags({"EchoTime": "", "RepetitionTime": ""}) is None


def test_two_scans_of_one_contrast_are_refused(tmp_path):
    a, b = save(tmp_path / "a_flair.nii.gz", head().T), save(tmp_path / "b_flair.nii.gz", head().T)
    with pytest.raises(AmbiguousInput, match="both FLAIR"):
        read_study({}, [a, b])
    with pytest.raises(AmbiguousInput, match="no scan was given"):
        read_study({})


def test_the_name_of_a_contrast_is_the_contrast_and_an_unknown_one_is_refused(tmp_path):
    path = save(tmp_path / "scan.nii.gz", head().T)
    for name in ("FLAIR", "flair", FLAIR):
        study = read_study({name: path})
        assert study.modalities == (FLAIR,) and study.reference.modality is FLAIR
    with pytest.raises(AmbiguousInput, match="use one of T1, T1c, T2, FLAIR, PD"):
        read_study({"DWI": path})


def test_one_scan_is_not_taken_as_two(tmp_path):
    path = save(tmp_path / "scan.nii.gz", head().T)
    with pytest.raises(AmbiguousInput, match="the same scan"):
        read_study({FLAIR: path, Modality.T1: path})


def test_an_unguessable_name_asks_for_the_contrast(tmp_path):
    with pytest.raises(AmbiguousInput, match="--flair"):
        read_scan(save(tmp_path / "patient.nii.gz", head().T))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_refused(tmp_path):
    path = save(tmp_path / "flair.nii.gz", head().T)
    path.chmod(0)
    with pytest.raises(UnreadableScan):
        read_scan(path)


def test_a_gzip_cut_anywhere_is_refused(tmp_path):
    whole = save(tmp_path / "flair.nii.gz", head().T).read_bytes()
    for share in (0.01, 0.2, 0.5, 0.9, 0.999):
        path = tmp_path / "cut_flair.nii.gz"
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableScan) as caught:
            read_scan(path)
        assert_one_sentence(caught.value)


def test_a_gzip_with_a_flipped_byte_never_gives_a_traceback(tmp_path):
    whole = bytearray(save(tmp_path / "flair.nii.gz", head().T).read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole)
        broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        path = tmp_path / "broken_flair.nii.gz"
        path.write_bytes(broken)
        try:
            read_scan(path)
        except BrainSSLAnomalyError as error:
            assert_one_sentence(error)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 347), st.integers(0, 255)), min_size=1, max_size=6))
def test_any_damage_to_a_header_is_read_or_refused_but_never_a_traceback(tmp_path_factory, damage):
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(save(folder / "flair.nii", head().T).read_bytes())
    for place, value in damage:
        data[place] = value
    (folder / "flair.nii").write_bytes(data)
    try:
        read_scan(folder / "flair.nii")
    except BrainSSLAnomalyError as error:
        assert_one_sentence(error)


def test_all_48_orders_of_axes_hold_the_same_picture_in_world_space(data):
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-60, -75, -40]
    grid = Grid((40, 50, 40), affine)
    first = None
    paths = sorted((data / "formats" / "orientations").glob("*.nii.gz"))
    assert len(paths) == 47 or len(paths) == 48
    for path in [*paths, data / "formats" / "AIL.nii.gz"]:
        resampled = resample(read_scan(path, Modality.T1).volume, grid)
        first = resampled if first is None else first
        assert np.abs(resampled - first).max() < 0.01, path.name


def test_a_real_dicom_series_keeps_its_geometry_and_its_secrets(data):
    folder = data / "dicom" / "t1_mprage"
    scan = read_scan(folder)
    import pydicom

    headers = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted(folder.iterdir())]
    assert scan.modality is Modality.T1 and scan.guessed_from
    assert scan.volume.array.shape[0] == len(headers)
    for header in (headers[0], headers[len(headers) // 2], headers[-1]):
        lps = np.array(header.ImagePositionPatient, float)
        i, j, k = (np.linalg.inv(scan.volume.affine) @ [*(lps * [-1, -1, 1]), 1])[:3]
        assert abs(i) < 1e-3 and abs(j) < 1e-3 and abs(k - round(k)) < 1e-3
        pixels = pydicom.dcmread(header.filename).pixel_array
        assert np.array_equal(scan.volume.array[round(k)], pixels)
    assert str(headers[0].get("PatientName", "?")) not in scan.source


def test_a_folder_with_two_series_lists_them_and_takes_the_chosen_one(data, tmp_path):
    import pydicom

    for path in sorted((data / "dicom" / "t1_mprage").iterdir()):
        header = pydicom.dcmread(path)
        header.save_as(tmp_path / f"a{path.name}")
        header.SeriesInstanceUID += ".1"
        header.SeriesNumber = 99
        header.SOPInstanceUID += ".1"
        header.SeriesDescription = "t2 of another day"
        header.save_as(tmp_path / f"b{path.name}")
    with pytest.raises(AmbiguousInput, match="holds 2 series") as caught:
        read_scan(tmp_path)
    assert "99" in str(caught.value) and "--series" in str(caught.value)
    assert read_scan(tmp_path, series="99").modality is Modality.T2
    assert read_scan(tmp_path / "a00001.dcm").modality is Modality.T1
    with pytest.raises(AmbiguousInput, match="no series"):
        read_scan(tmp_path, series="nonsense")


def test_dicom_with_missing_or_repeated_slices_is_refused(data, tmp_path):
    import pydicom

    paths = sorted((data / "dicom" / "t1_mprage").iterdir())
    for path in paths[:60]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    places = sorted(
        tmp_path.iterdir(),
        key=lambda p: float(np.dot(pydicom.dcmread(p).ImagePositionPatient, _normal(p))),
    )
    kept = places[30].read_bytes()
    places[30].unlink()
    with pytest.raises(UnsuitableScan, match="missing"):
        read_scan(tmp_path)
    places[30].write_bytes(kept)
    again = pydicom.dcmread(places[30])
    again.SOPInstanceUID += ".7"
    again.save_as(tmp_path / "again.dcm")
    with pytest.raises(UnsuitableScan, match="several images at one place"):
        read_scan(tmp_path)


def _normal(path: Path) -> np.ndarray:
    import pydicom

    orientation = np.array(
        pydicom.dcmread(path, stop_before_pixels=True).ImageOrientationPatient, float
    )
    return np.cross(orientation[:3], orientation[3:])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("complex.nii.gz", "complex"),
        ("ct_perfusion.nii.gz", "colour"),
        ("pcasl.nii.gz", "4 axes"),
        ("minimal.nii.gz", "30 mm"),
        ("shear.nii.gz", "CT"),
    ],
)
def test_real_files_that_are_no_scans_are_refused_by_what_they_are(data, name, words):
    with pytest.raises(UnsuitableScan, match=words) as caught:
        read_scan(data / "formats" / name, FLAIR)
    assert_one_sentence(caught.value)


def test_a_sheared_grid_is_kept_as_it_is(tmp_path):
    affine = np.array([[4.0, 0.8, 0, -80], [0, 4, 0.5, -80], [0.3, 0, 4, -70], [0, 0, 0, 1]])
    assert np.allclose(
        read_scan(save(tmp_path / "flair.nii.gz", head().T, affine)).volume.affine, affine
    )


def test_the_digest_is_that_of_the_file(tmp_path):
    import hashlib

    path = save(tmp_path / "flair.nii.gz", head().T)
    assert read_scan(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
