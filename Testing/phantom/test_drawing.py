"""How scans are drawn from maps of materials."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.phantom.drawing import (
    acquire,
    average_blocks,
    draw_contrast,
    draw_texture,
)
from BrainSSLAnomalyLib.phantom.lesions import CORE_CODE
from BrainSSLAnomalyLib.phantom.materials import FLUIDS, Material, material_brightness
from BrainSSLAnomalyLib.phantom.noise import draw_smooth_field, draw_smooth_noise
from BrainSSLAnomalyLib.phantom.patient import load_head
from scipy import ndimage

FLAIR, T1, T2 = Modality.FLAIR, Modality.T1, Modality.T2
M = Material


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def means() -> dict[Modality, dict[Material, float]]:
    """Median of each material in each contrast of the head, away from borders."""
    head = load_head()
    box = (slice(30, 160), slice(20, 230), slice(10, 170))
    materials, lesions = head.materials[box], np.zeros_like(head.lesions[box])
    texture = draw_texture(materials, seeded())
    border = ndimage.maximum_filter(materials, 3) != ndimage.minimum_filter(materials, 3)
    images = {m: draw_contrast(materials, lesions, texture, m, seeded(1)) for m in (FLAIR, T1, T2)}
    return {
        modality: {
            n: float(np.median(image[(materials == n) & ~border]))
            for n in (M.WHITE, M.CORTEX, M.VENTRICLE, M.CSF, M.FAT, M.MUSCLE, M.EYE, M.COMPACT_BONE)
        }
        for modality, image in images.items()
    }


def test_tissues_have_the_order_of_each_contrast(means):
    flair, t1, t2 = means[FLAIR], means[T1], means[T2]
    assert flair[M.CSF] < 0.4 * flair[M.WHITE] < flair[M.WHITE] < flair[M.CORTEX]
    assert t1[M.VENTRICLE] < t1[M.CORTEX] < t1[M.WHITE] < t1[M.FAT]
    assert t2[M.WHITE] < t2[M.CORTEX] < t2[M.CSF] and t2[M.VENTRICLE] == max(t2.values())


def test_bone_is_dark_and_fat_brighter_than_muscle_in_every_contrast(means):
    for contrast in means.values():
        assert contrast[M.COMPACT_BONE] == min(contrast.values())
        assert contrast[M.FAT] > 1.5 * contrast[M.MUSCLE]


def test_a_map_of_tissues_is_a_map_of_materials():
    for tissue in Tissue:
        assert Material(tissue + 1).name == tissue.name
        if tissue + 1 not in FLUIDS:
            for modality in (FLAIR, T1, T2):
                expected = TISSUE_BRIGHTNESS[modality][tissue]
                assert material_brightness(modality)[tissue + 1] == pytest.approx(expected)


def test_borders_are_mixed_and_lesions_fade():
    materials = np.full((20, 20, 20), M.WHITE, np.uint8)
    materials[:10] = M.VENTRICLE
    lesions = np.zeros_like(materials)
    lesions[14:17, 8:12, 8:12] = 2
    texture = np.zeros(materials.shape, np.float32)
    image = draw_contrast(materials, lesions, texture, FLAIR, seeded())
    assert image[2, 2, 2] < image[9, 2, 2] < image[10, 2, 2] < image[18, 2, 2]
    assert image[18, 2, 2] < image[13, 10, 10] < image[15, 10, 10]


def test_the_core_of_the_tumour_is_darker_on_t1_than_its_oedema():
    materials = np.full((24, 24, 24), M.WHITE, np.uint8)
    lesions = np.zeros_like(materials)
    lesions[4:20, 4:20, 4:20] = 1
    lesions[9:15, 9:15, 9:15] = CORE_CODE
    image = draw_contrast(materials, lesions, np.zeros(lesions.shape, np.float32), T1, seeded())
    assert image[11:13, 11:13, 11:13].mean() < image[6, 6:18, 6:18].mean() < image[0].mean()


def test_averaging_before_or_after_the_brightness_gives_the_same_mean():
    array = seeded().random((9, 8, 7)).astype(np.float32)
    small = average_blocks(array, 2)
    assert small.shape == (4, 4, 3)
    assert small.mean() == pytest.approx(array[:8, :8, :6].mean(), rel=1e-5)
    assert average_blocks(array, 1) is array


def test_a_scanner_leaves_no_negative_value_and_noise_in_air():
    image = acquire(np.zeros((30, 30, 30), np.float32), T1, 1.0, seeded())
    assert image.min() >= 0 and 0 < image.mean() < 0.1 and image.std() > 0


@pytest.mark.parametrize("draw", [draw_smooth_field, draw_smooth_noise])
def test_noise_has_unit_variance_and_neighbours_are_alike(draw):
    field = draw((40, 40, 40), 8.0, seeded())
    assert field.shape == (40, 40, 40) and field.dtype == np.float32
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(field, axis=0)).mean() < 0.3
    assert np.array_equal(field, draw((40, 40, 40), 8.0, seeded()))


def test_a_field_has_no_edges_where_its_knots_lie():
    bend = np.abs(np.diff(draw_smooth_field((60, 30, 30), 10.0, seeded()), 2, axis=0))
    kink = np.abs(np.diff(draw_smooth_noise((60, 30, 30), 10.0, seeded()), 2, axis=0))
    assert bend.max() < 0.5 * kink.max()
