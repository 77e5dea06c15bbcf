"""Real heads become samples: sides stay sides, air stays dark."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.anatomy import Structure, Tissue
from BrainSSLAnomalyLib.core.study import Modality
from support.training_heads import healthy_heads, healthy_pairs, seeded

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
