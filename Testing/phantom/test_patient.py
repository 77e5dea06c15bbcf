"""The synthetic patient: what its scans show, where its lesions lie, and that it is nobody."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import TEMPLATE_GRID, Region
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.phantom import LESIONS, synthetic_patient
from BrainSSLAnomalyLib.phantom.lesions import CORE_CODE, LesionKind
from BrainSSLAnomalyLib.phantom.materials import Material
from BrainSSLAnomalyLib.phantom.patient import load_head
from BrainSSLAnomalyLib.preparation.template import load_template
from scipy import ndimage

FLAIR, T1, T2 = Modality.FLAIR, Modality.T1, Modality.T2
LARGEST_MB = 1.5


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def patient():
    return synthetic_patient(3, spacing=2.0)


@pytest.fixture(scope="module")
def regions(head):
    """Codes of `Region` on the grid of the maps."""
    template = Volume(load_template().regions, TEMPLATE_GRID.affine)
    return resample(template, head.grid, nearest=True).astype(int)


def parts(head, number: int) -> np.ndarray:
    """The voxels of a lesion, a tumour with its core."""
    mask = head.lesions == number + 1
    if LESIONS[number].kind is LesionKind.TUMOUR:
        mask |= head.lesions == CORE_CODE
    return mask


def test_the_maps_are_small():
    files = [resource("Phantom", f"{name}.nii.gz") for name in ("materials", "lesions")]
    assert sum(path.stat().st_size for path in files) < LARGEST_MB * 1e6


def test_the_head_holds_every_material_of_a_head_and_nothing_vague(head):
    present = {Material(int(code)) for code in np.unique(head.materials)}
    assert present == set(Material) - {Material.BONE, Material.SOFT}


@pytest.mark.parametrize("number", range(len(LESIONS)), ids=lambda n: LESIONS[n].place)
def test_each_lesion_lies_in_the_lobe_and_on_the_side_that_its_words_say(number, head, regions):
    inside = parts(head, number)
    found = Region(int(np.bincount(regions[inside]).argmax()))
    assert LESIONS[number].place.startswith(found.words)
    x = np.argwhere(inside).mean(0)
    assert (head.grid.to_ras(tuple(x))[0] > 0) == ("right" in LESIONS[number].place)


@pytest.mark.parametrize("number", range(len(LESIONS)), ids=lambda n: LESIONS[n].place)
def test_what_is_near_ventricle_or_cortex_is_within_3_mm_of_it_and_what_is_deep_is_not(
    number, head
):
    inside, place = parts(head, number), LESIONS[number].place
    ventricle = ndimage.distance_transform_edt(
        ~np.isin(head.materials, (Material.VENTRICLE, Material.PLEXUS))
    )[inside]
    cortex = ndimage.distance_transform_edt(head.materials != Material.CORTEX)[inside]
    if "ventricle" in place:
        assert ventricle.min() <= 3
    elif "cortex" in place:
        assert cortex.min() <= 3 < ventricle.min()
    elif "deep" in place:
        assert ventricle.min() > 3 and np.median(cortex) > 3


def test_the_tumour_is_the_largest_lesion_and_its_oedema_stays_in_white_matter(head):
    kinds = [lesion.kind for lesion in LESIONS]
    ml = [parts(head, number).sum() / 1000 for number in range(len(LESIONS))]
    assert kinds.count(LesionKind.TUMOUR) == 1 and kinds.count(LesionKind.DEMYELINATED) >= 4
    tumour = kinds.index(LesionKind.TUMOUR)
    assert 8 < ml[tumour] < 20 and np.argmax(ml) == tumour
    assert (head.materials[head.lesions == tumour + 1] == Material.WHITE).all()


def test_every_voxel_of_a_lesion_lies_in_the_cerebrum(head):
    tissues = head.materials[head.lesions > 0]
    assert set(np.unique(tissues)) <= {Material.WHITE, Material.CORTEX}
    assert (tissues == Material.WHITE).mean() > 0.85


def test_the_same_seed_draws_the_same_patient_and_another_seed_another():
    (one, lesions), (again, same), (other, moved) = (
        synthetic_patient(seed, spacing=4.0) for seed in (5, 5, 6)
    )
    for modality in (FLAIR, T1, T2):
        assert np.array_equal(one.scans[modality].volume.array, again.scans[modality].volume.array)
        assert not np.array_equal(
            one.scans[modality].volume.array, other.scans[modality].volume.array
        )
    assert np.array_equal(lesions.array, same.array)
    assert not np.array_equal(lesions.array, moved.array)


@pytest.mark.parametrize("spacing", [2.0, 2.5, 4.0])
def test_the_spacing_is_kept_and_lesions_and_scans_share_one_grid(spacing):
    study, lesions = synthetic_patient(0, spacing=spacing)
    assert set(study.modalities) == {FLAIR, T1, T2}
    for scan in study.scans.values():
        assert np.allclose(scan.volume.spacing, spacing) and scan.volume.array.dtype == np.int16
        assert scan.volume.array.shape == lesions.array.shape and scan.volume.array.min() >= 0
        assert np.array_equal(scan.volume.affine, lesions.affine)
    total = lesions.array.sum() * spacing**3 / 1000
    assert 0.6 < total / ((load_head().lesions > 0).sum() / 1000) < 1.2


def test_the_whole_head_lies_in_the_field_of_view():
    for seed in range(4):
        study, _ = synthetic_patient(seed, spacing=4.0)
        head = study.scans[T1].volume.array > 100
        k, _, i = (np.nonzero(head.any(axis))[0] for axis in ((1, 2), (0, 2), (0, 1)))
        assert k.max() < head.shape[0] - 1
        crown = head[head.shape[0] // 2 :]
        assert not crown[..., 0].any() and not crown[..., -1].any() and i.size


def test_lesions_are_bright_on_flair_and_t2_and_dark_on_t1(patient):
    study, lesions = patient
    inside = lesions.array > 0
    around = ndimage.binary_dilation(inside, iterations=4)
    around &= ~ndimage.binary_dilation(inside, iterations=2)
    ratio = {
        m: np.median(scan.volume.array[inside]) / np.median(scan.volume.array[around])
        for m, scan in study.scans.items()
    }
    assert ratio[FLAIR] > 1.25 and ratio[T2] > 1.25 and ratio[T1] < 0.9


@pytest.mark.parametrize("number", [10])
def test_no_label_map_of_the_training_data_is_shipped_as_it_is(number, head, data):
    from training.data.files import load
    from training.release.anatomy import load_mni_t1, register_labels
    from training.synthesis.invented_head import material_table

    pytest.importorskip("nilearn")
    labels = load(data / "labels" / "synthseg" / f"training_seg_{number:02d}.nii.gz")
    world = register_labels(labels, load_mni_t1())
    cortex = (material_table()[labels.array.astype(int)] == Material.CORTEX).astype(np.float32)
    own = head.materials == Material.CORTEX
    for mirror in (1.0, -1.0):
        to_labels = world @ np.diag([mirror, 1.0, 1.0, 1.0])
        there = resample(Volume(cortex, labels.affine), head.grid, to_labels) > 0.5
        assert 2 * (there & own).sum() / (there.sum() + own.sum()) < 0.6
