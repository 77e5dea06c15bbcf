"""Real heads become samples: sides stay sides, air stays dark, and own scans can be added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="training needs torch: pip install 'brain-ssl-anomaly[model]'"
)

from BrainSSLAnomalyLib.core.anatomy import Structure, Tissue
from BrainSSLAnomalyLib.core.study import Modality
from support.training_heads import healthy_heads, healthy_pairs, seeded

from training.data import heads as archive
from training.synthesis import heads
from training.synthesis.generator import GeneratorSettings, sample_nearest

STILL = GeneratorSettings(
    shape=(32, 32, 32),
    spacing=2.0,
    rotation_degrees=0,
    scaling=0,
    shear=0,
    shift_mm=0,
    elastic={60.0: 0.0},
    stripped=0.0,
)


def test_image_and_structures_of_a_head_stay_together_and_sides_are_exchanged_with_the_picture():
    sampler = heads.HeadSampler(healthy_heads(), STILL, [0])
    for seed in range(8):
        images, truth, *_ = sampler(1, seeded(seed))
        left, right = truth[0] == Structure.LEFT_WHITE, truth[0] == Structure.RIGHT_WHITE
        assert left[:, :, :16].sum() == left.sum() > 0 and right[:, :, 16:].sum() == right.sum() > 0
        assert set(truth.unique().tolist()) == {
            0,
            Structure.LEFT_WHITE,
            Structure.RIGHT_WHITE,
            Structure.BRAINSTEM,
        }
        assert float(images[0, 0][truth[0] > 0].mean()) > 3 * float(
            images[0, 0][truth[0] == 0].mean()
        )


def test_the_same_seed_gives_the_same_head_and_another_seed_another():
    sampler = heads.HeadSampler(healthy_heads(), replace(STILL, rotation_degrees=10), [0])
    one, same, other = (sampler(2, seeded(n)) for n in (3, 3, 4))
    assert (
        torch.equal(one[0], same[0])
        and torch.equal(one[1], same[1])
        and not torch.equal(one[0], other[0])
    )


def test_a_head_drawn_without_deformation_is_the_head_itself():
    place = torch.stack(torch.meshgrid(*([(torch.arange(32) - 15.5) * 2.0] * 3), indexing="ij"))
    image = torch.from_numpy(healthy_heads().images[0]).float()
    assert torch.equal(sample_nearest(image[0], place, 2.0), image[0])
    assert torch.allclose(heads._interpolate(image, place), image, atol=1e-3)


def test_another_contrast_keeps_air_dark_and_everything_finite():
    images = torch.rand((5, 1, 8, 8, 8), generator=seeded(0))
    images[:, :, 0] = 0
    other = heads._randomise_contrast(images, seeded(1))
    assert (
        torch.isfinite(other).all()
        and other.min() >= 0
        and other.max() <= 1
        and (other[:, :, 0] == 0).all()
    )


def test_a_t1_shown_as_another_contrast_has_its_tissues_in_that_order():
    structures = torch.zeros((24, 24, 24), dtype=torch.int64)
    structures[4:20, 4:20, 4:20] = Structure.CSF
    structures[6:18, 6:18, 6:18] = Structure.LEFT_CORTEX
    structures[8:16, 8:16, 8:16] = Structure.LEFT_WHITE
    t1 = torch.tensor([0.0, 0.2, 0.8, 0.8, 0.6])[structures.clamp(max=4)] + 0.01 * torch.rand(
        (24, 24, 24), generator=seeded(0)
    )
    order = {
        Modality.T2: ("white", "cortex", "fluid"),
        Modality.FLAIR: ("fluid", "white", "cortex"),
    }
    for modality, names in order.items():
        right = 0
        for seed in range(40):
            image = heads.change_contrast(t1, structures, modality, seeded(seed))
            assert torch.isfinite(image).all() and image.min() >= 0 and image.max() < 3
            parts = {
                "fluid": Structure.CSF,
                "cortex": Structure.LEFT_CORTEX,
                "white": Structure.LEFT_WHITE,
            }
            level = {
                name: float(image[structures == code].median()) for name, code in parts.items()
            }
            right += level[names[0]] < level[names[1]] < level[names[2]]
        assert right >= 24, modality  # a quarter is drawn at random


def test_an_anomaly_in_a_real_head_is_marked_where_it_shows_and_what_lies_beneath_keeps_its_name():
    def spot(images, tissues, modalities, generator):
        assert (
            images.shape == (1, 32, 32, 32)
            and tissues.max() == Tissue.BRAINSTEM + 1
            and len(modalities) == 1
        )
        where = torch.zeros(images.shape, dtype=torch.bool)
        where[:, 14:18, 14:18, 14:18] = True
        return torch.where(where, images + 3, images), where

    plain, changed = (
        heads.HeadSampler(healthy_heads(), STILL, [0])(1, seeded(5), change)
        for change in (None, spot)
    )
    assert (
        torch.equal(plain.structures, changed.structures)
        and not plain.changed.any()
        and changed.changed.sum() == 64
    )
    there = changed.changed[0, 0]
    rest = (changed.structures[0] > 0) & ~there
    assert float(changed.images[0, 0][there].mean()) > 1.5 * float(
        changed.images[0, 0][rest].mean()
    )


def test_segmentations_of_ixi_have_their_sides_where_right_is_right(data):
    _, structures, _ = next(archive.read_ixi(most=1))
    assert set(np.unique(structures)) == {int(s) for s in Structure}
    across = np.arange(structures.shape[2])
    for left in range(Structure.LEFT_WHITE, Structure.MIDLINE_VENTRICLES, 2):
        where = [
            float((across * (structures == code).sum((0, 1))).sum() / (structures == code).sum())
            for code in (left, left + 1)
        ]
        assert where[0] < where[1], Structure(left)


def test_an_archive_of_heads_reads_as_it_was_written_and_an_empty_one_is_refused(tmp_path):
    image = np.linspace(0, 1, 6 * 7 * 8, dtype=np.float32).reshape(1, 6, 7, 8)
    structures = np.arange(6 * 7 * 8).reshape(6, 7, 8).astype(np.uint8) % 18
    archive.write(tmp_path / "heads.npz", [archive.Head(image, structures)])
    found = archive.read(tmp_path / "heads.npz")
    assert found.modalities == (Modality.T1,) and not found.excluded[0].any()
    assert (
        np.array_equal(found.structures[0], structures)
        and np.abs(found.images[0] / 255 - image / 0.997).max() < 0.01
    )
    with pytest.raises(SystemExit, match="No scan was found"):
        archive.write(
            tmp_path / "none.npz",
            archive.read_folder(tmp_path / "missing") if (tmp_path / "missing").mkdir() else [],
        )
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".npz"] == ["heads.npz"]


def test_a_sites_own_scans_are_labelled_by_the_shipped_network(tmp_path):
    pytest.importorskip("monai")
    import nibabel as nib
    from BrainSSLAnomalyLib.phantom import synthetic_patient

    study, _ = synthetic_patient(3, spacing=4.0)
    scan = study.reference.volume
    nib.save(nib.nifti1.Nifti1Image(scan.array.T, scan.affine), tmp_path / "a.nii.gz")
    (_, structures, _), *rest = archive.read_folder(tmp_path)
    assert not rest and 0.05 < (structures > 0).mean() < 0.8


def test_both_scans_of_a_person_are_drawn_together_and_what_is_excluded_stays_with_them():
    sampler = heads.HeadSampler(healthy_pairs(), STILL, [0])
    for seed in range(8):
        sample = sampler(1, seeded(seed))
        (shown,) = sample.modalities
        assert shown[0] in (Modality.T1, Modality.T2, Modality.PD) and shown[1] is Modality.FLAIR
        assert (
            sample.images.shape[1] == len(sample.slicings[0]) == 2
            and torch.isfinite(sample.images).all()
        )
        left = (
            sample.structures[0] == Structure.LEFT_WHITE
        )  # exchanged with the right where the head is mirrored
        right = sample.structures[0] == Structure.RIGHT_WHITE
        assert torch.equal(sample.excluded[0], left) or torch.equal(sample.excluded[0], right)


def test_a_t1_shown_as_flair_has_bright_rims_at_the_ventricles_and_shown_as_t1_has_none():
    structures = torch.full((24, 24, 24), Structure.LEFT_WHITE, dtype=torch.int64)
    structures[:, 8:16, 8:16] = Structure.LEFT_VENTRICLE
    structures[:, :4] = Structure.LEFT_CORTEX
    structures[:, :1] = Structure.CSF
    levels = {
        Structure.LEFT_WHITE: 0.8,
        Structure.LEFT_CORTEX: 0.6,
        Structure.LEFT_VENTRICLE: 0.2,
        Structure.CSF: 0.2,
    }
    t1 = sum(torch.where(structures == code, level, 0.0) for code, level in levels.items())
    beside, away = np.s_[:, 16:17, 10:14], np.s_[:, 22:, :]
    brighter = [
        float(image[beside].mean() / image[away].mean())
        for image in (
            heads.change_contrast(t1, structures, Modality.FLAIR, seeded(n), spacing=1.0)
            for n in range(30)
        )
    ]
    assert np.mean(np.array(brighter) > 1.05) > 0.25 and max(brighter) > 1.3


def test_a_lesion_map_is_grown_and_bright_white_matter_is_excluded_too():
    from training.data.elderly import crop_to_brain, find_possible_lesions

    rng = np.random.default_rng(0)
    structures = np.zeros((30, 30, 30), np.uint8)
    structures[5:25, 5:25, 5:25] = Structure.LEFT_WHITE
    flair = (100 + 5 * rng.standard_normal(structures.shape)).astype(np.float32)
    flair[20:22, 20:22, 20:22] = 160
    mapped = np.zeros(structures.shape, bool)
    mapped[10, 10, 10] = True
    excluded = find_possible_lesions(flair, structures, mapped)
    assert (
        excluded[10, 10, 8:13].all()
        and excluded[20:22, 20:22, 20:22].all()
        and excluded[19, 20, 20]
    )
    assert not excluded[structures == 0].any() and excluded.sum() < 0.2 * (structures > 0).sum()
    head = crop_to_brain(
        archive.Head(np.stack([flair, flair]), structures, excluded), margin_mm=4.0
    )
    assert head.images.shape == (2, 24, 24, 24) and head.excluded.sum() == excluded.sum()


def test_old_people_are_read_with_both_scans_on_one_grid_and_nobody_of_calibration(data, tmp_path):
    from training.data import elderly

    archive.write(
        tmp_path / "elderly.npz", elderly.read_elderly(most=1), modalities=elderly.MODALITIES
    )
    found = archive.read(tmp_path / "elderly.npz")
    t1, flair = found.images[0].astype(float)
    structures, excluded = found.structures[0], found.excluded[0]
    fluid = np.isin(structures, [Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE])
    white = np.isin(structures, [Structure.LEFT_WHITE, Structure.RIGHT_WHITE])
    assert all(
        np.median(image[fluid]) < 0.6 * np.median(image[white & ~excluded]) for image in (t1, flair)
    )
    assert np.median(flair[white & excluded]) > 1.1 * np.median(flair[white & ~excluded])
    assert 0.02 < excluded[structures > 0].mean() < 0.3
