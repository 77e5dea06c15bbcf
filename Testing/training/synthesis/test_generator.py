"""Healthy scans are drawn from label maps: reproducibly, and with the properties of scans."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="synthesis for training needs torch: pip install 'brain-ssl-anomaly[model]'"
)

from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from hypothesis import given, settings
from hypothesis import strategies as st
from support.project import PROJECT
from support.training_heads import CODES, label_archive, seeded

from training.synthesis import acquisition, atrophy
from training.synthesis.generator import (
    LEFT_RIGHT,
    GeneratorSettings,
    ScanGenerator,
    sample_nearest,
)
from training.synthesis.noise import smooth_field, spread

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)
T1, T2, FLAIR = SMALL.modalities


@pytest.fixture(scope="module")
def draw():
    """Draws two patients with some settings changed."""
    archive = label_archive()
    return lambda seed=0, batch=2, **changed: ScanGenerator(archive, replace(SMALL, **changed))(
        batch, seeded(seed)
    )


def aged(seed: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """FreeSurfer codes of the head at its own place, before and after atrophy."""
    archive = label_archive()
    labels = torch.from_numpy(archive.maps[0])
    shape = [round(n / spacing) for n in labels.shape]
    axes = [(torch.arange(n) - (n - 1) / 2) * spacing for n in shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    tissues = ScanGenerator(archive, SMALL).tissue_of_label[sample_nearest(labels, place).long()]
    after = sample_nearest(
        labels, atrophy.widen_fluid_spaces(place, tissues, seeded(seed), spacing=spacing)
    )
    return CODES[sample_nearest(labels, place).numpy()], CODES[after.numpy()]


@given(st.integers(0, 1000), st.sampled_from([1.6, 2.0]))
@settings(deadline=None, max_examples=15)
def test_with_atrophy_ventricles_grow_and_the_brain_shrinks_and_everything_stays_on_its_side(
    seed, spacing
):
    before, after = aged(seed, spacing)
    ventricles, fluid, brain = (
        (4, 43),
        (4, 43, 24),
        (2, 3, 12, 41, 42, 51),
    )  # the cortex is moved rather than thinned
    for codes, grows in ((ventricles, True), (fluid, True), (brain, False)):
        old, young = np.isin(after, codes).sum(), np.isin(before, codes).sum()
        # Where hardly anything moves, voxels on an edge fall either way.
        assert old >= 0.97 * young if grows else old <= 1.03 * young
    left = np.isin(after, (2, 3, 4, 12)) & (np.arange(after.shape[2]) > after.shape[2] / 2 + 1)
    assert not left.any()


def test_atrophy_moves_the_edge_of_the_ventricle_by_no_more_than_it_says():
    from scipy import ndimage

    growth = []
    for seed in range(3):
        before, after = aged(seed, 1.0)
        away = ndimage.distance_transform_edt(~np.isin(before, (4, 43)))
        assert away[np.isin(after, (4, 43))].max() <= atrophy.WIDEST_MM[Tissue.VENTRICLE] + 2
        growth.append(np.isin(after, (4, 43)).sum() / np.isin(before, (4, 43)).sum())
    assert max(growth) > 1.5


def test_the_same_seed_gives_the_same_scan_and_another_seed_another(draw):
    one, same, other = draw(7), draw(7), draw(8)
    assert torch.equal(one.images, same.images) and torch.equal(one.labels, same.labels)
    assert not torch.equal(one.images, other.images)


def test_scans_are_finite_and_not_negative_and_their_brain_has_a_median_of_one(draw):
    for seed in range(4):
        sample = draw(seed)
        assert sample.images.shape == (2, 3, *SMALL.shape) and sample.brain.shape == (
            2,
            1,
            *SMALL.shape,
        )
        assert torch.isfinite(sample.images).all() and sample.images.min() >= 0
        for scan, brain in zip(sample.images, sample.brain, strict=True):
            assert scan[:, brain[0]].median(1).values == pytest.approx([1, 1, 1], abs=1e-3)


def test_typical_contrasts_have_their_tissues_in_order(draw):
    order = {
        T1: ("fluid", "cortex", "white"),
        T2: ("white", "cortex", "fluid"),
        FLAIR: ("fluid", "white", "cortex"),
    }
    codes = {"white": (2, 41), "cortex": (3, 42), "fluid": (24,)}
    right = 0
    for seed in range(10):
        sample = draw(seed, 1, at_random=0.0, thickest_mm=2.0)
        for channel, modality in enumerate(SMALL.modalities):
            level = {
                name: float(
                    sample.images[0, channel][
                        torch.from_numpy(np.isin(CODES[sample.labels[0].numpy()], wanted))
                    ].median()
                )
                for name, wanted in codes.items()
            }
            names = order[modality]
            right += level[names[0]] < level[names[1]] < level[names[2]]
    assert right >= 24, f"{right} of 30 scans have their tissues in the order of their contrast"


def test_random_contrasts_are_not_all_alike(draw):
    whites = [
        float(
            draw(seed, 1, at_random=1.0)
            .images[0, 0][draw(seed, 1, at_random=1.0).labels[0] == 1]
            .median()
        )
        for seed in range(6)
    ]
    assert np.std(whites) > 0.1


def test_left_stays_left_when_a_patient_is_mirrored():
    generator = ScanGenerator(
        label_archive(),
        replace(SMALL, rotation_degrees=0.0, shift_mm=0.0, shear=0.0, elastic={60.0: 0.0}),
    )
    across = torch.arange(SMALL.shape[2])
    for seed in range(6):
        labels = generator.draw_labels(1, seeded(seed))[0]
        for left, right in ((4, 43), (12, 51), (2, 41)):
            i = [
                float(
                    across.expand(SMALL.shape)[labels == int(np.searchsorted(CODES, c))]
                    .float()
                    .mean()
                )
                for c in (left, right)
            ]
            assert i[0] < i[1]


def test_every_side_has_its_twin_once():
    codes = [c for pair in LEFT_RIGHT for c in pair]
    assert len(codes) == len(set(codes))


def test_stripped_patients_have_no_head_and_whole_ones_do(draw):
    for seed in range(3):
        bare, whole = (draw(seed, stripped=share, shape=(54, 62, 54)) for share in (1.0, 0.0))
        skin = torch.from_numpy(np.isin(CODES[bare.labels.numpy()], 502))[:, None].expand_as(
            bare.images
        )
        assert float((bare.images[skin] > 0).float().mean()) < 0.05
        assert float((whole.images[skin] > 0).float().mean()) > 0.9


def test_what_was_not_acquired_is_empty_in_every_scan_and_no_brain(draw):
    missing = 0
    for seed in range(12):
        sample = draw(seed, 1)
        empty = (sample.labels[0] == 0) & (sample.images[0] == 0).all(0)
        planes = [empty.movedim(axis, 0).flatten(1).all(1).any() for axis in range(3)]
        missing += any(planes)
        assert not (sample.brain[0, 0] & (sample.labels[0] == 0)).any()
    assert 0 < missing < 9


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(1.0, 12.0))
def test_a_smooth_field_has_about_unit_variance(seed, scale):
    field = smooth_field(1, 4, (32, 40, 32), scale, seeded(seed))
    assert field.shape == (1, 4, 32, 40, 32) and 0.5 < float(field.std()) < 1.8


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(2.0, 8.0))
def test_thick_slices_keep_the_mean_and_only_smooth(seed, thickest):
    image = torch.rand((1, 2, 24, 24, 24), generator=seeded(seed))
    cut = acquisition.draw_slicings(
        1, 2, image.shape[2:], seeded(seed), spacing=1.0, thickest_mm=thickest, share=1.0
    )
    assert all(
        slicing is not None and 24 / thickest - 1 <= slicing.slices <= 24 for slicing in cut[0]
    )
    out = acquisition.acquire_slices(image, cut)
    assert torch.allclose(out.mean((2, 3, 4)), image.mean((2, 3, 4)), atol=0.03)
    assert (out.std((2, 3, 4)) <= image.std((2, 3, 4)) + 1e-4).all()


def test_a_change_goes_through_thick_slices_as_the_whole_scan_does():
    image, change = (
        torch.rand((1, 2, 24, 24, 24), generator=seeded(0)),
        torch.rand((1, 2, 24, 24, 24), generator=seeded(1)),
    )
    cut = [[acquisition.Slicing(0, 6), None]]
    both = acquisition.acquire_slices(image + change, cut)
    assert torch.allclose(
        both,
        acquisition.acquire_slices(image, cut) + acquisition.acquire_slices(change, cut),
        atol=1e-5,
    )
    assert torch.equal(both[:, 1], (image + change)[:, 1]) and not torch.equal(
        both[:, 0], (image + change)[:, 0]
    )


def test_what_is_changed_before_the_scan_is_seen_in_it_and_marked_where_it_was_acquired():
    def darker(images, tissues, modalities, generator):
        where = torch.zeros(images.shape, dtype=torch.bool)
        where[:, 18:23, 20:28, 15:25] = True
        return torch.where(where, 0.2 * images, images), where

    settings = replace(
        SMALL, elastic={60.0: 0.0}, rotation_degrees=0, shift_mm=0, thickest_mm=2.0, at_random=0.0
    )
    generator = ScanGenerator(label_archive(), settings)
    plain, changed = (generator(1, seeded(3), change) for change in (None, darker))
    assert torch.equal(plain.labels, changed.labels) and not plain.changed.any()
    assert changed.changed.any() and not (changed.changed & ~changed.brain).any()
    ratio = changed.images / plain.images.clamp(min=1e-3)
    inner = changed.changed & (plain.images > 0.5)
    assert (
        float(ratio[inner].median())
        < 0.6
        < 0.9
        < float(ratio[~changed.changed & changed.brain].median())
        < 1.2
    )


def test_ghosts_and_motion_change_a_scan_and_zero_shares_do_not():
    image = torch.rand((2, 2, 24, 24, 24), generator=seeded(0))
    for step in (acquisition.add_ghosts, acquisition.add_motion):
        assert torch.equal(step(image, seeded(1), share=0.0), image)
        assert not torch.equal(step(image, seeded(1), share=1.0), image)


def test_blur_keeps_the_inner_mean_and_zero_width_changes_nothing():
    image = torch.zeros((1, 1, 15, 15, 15))
    image[0, 0, 7, 7, 7] = 1
    assert float(acquisition.blur(image, torch.full((1, 1), 0.8)).sum()) == pytest.approx(
        1, abs=1e-5
    )
    assert torch.allclose(acquisition.blur(image, torch.zeros((1, 1))), image, atol=1e-6)


def test_spread_covers_the_mask_and_fades_at_its_radius():
    mask = torch.zeros((1, 1, 41, 41, 41))
    mask[0, 0, 20, 20, 20] = 1
    grown = spread(mask, 8)
    line = grown[0, 0, 20, 20]
    assert (
        float(line[20]) > 0.2 and float(line[:6].max()) == 0 and (line[22:35].diff() <= 1e-6).all()
    )


def test_choroid_lining_and_limbic_cortex_are_brighter_on_flair_than_without_bright_places(
    monkeypatch,
):
    from training.synthesis import appearance
    from training.synthesis.appearance import (
        add_normal_bright_regions,
        draw_mean_intensities,
        paint_labels,
    )

    monkeypatch.setattr(appearance, "AGED", 0.0)
    generator = ScanGenerator(label_archive(), replace(SMALL, rotation_degrees=0.0, shift_mm=0.0))
    labels = generator.draw_labels(8, seeded(0))
    means = draw_mean_intensities(
        (FLAIR, T1), generator.tissue_of_label, 8, seeded(1), at_random=0.0
    )
    plain = paint_labels(labels, means)
    bright = add_normal_bright_regions(plain, labels, CODES, means, (FLAIR, T1), seeded(2), 2.0)
    white = generator.tissue_of_label[labels] == Tissue.WHITE + 1
    gain = (bright - plain)[:, 0][white]
    assert (
        float(gain.min()) >= 0
        and float(gain.max()) > 0.05
        and float((gain > 0.02).float().mean()) < 0.6
    )
    assert torch.equal(bright[:, 1][white], plain[:, 1][white]), "T1 has no bright lining"


@given(st.integers(0, 1000))
@settings(max_examples=15)
def test_old_age_shows_in_white_matter_alone_bright_on_flair_dark_on_t1_and_not_in_everybody(
    seed,
):
    from training.synthesis.appearance import draw_aged_white_matter

    labels = torch.from_numpy(CODES[label_archive().maps[0]])[None, None, ::2, ::2, ::2]
    lateral, white = (sum(labels == c for c in codes).float() for codes in ((4, 43), (2, 41)))
    patients = draw_aged_white_matter(
        lateral.expand(16, -1, -1, -1, -1), white, (FLAIR, T2, T1), seeded(seed), 2.0
    )
    assert (patients * (1 - white)).abs().max() == 0
    flair, t2, t1 = patients.unbind(1)
    assert flair.min() >= 0 and torch.allclose(t2, 0.5 * flair) and torch.allclose(t1, -0.3 * flair)
    aged = flair.flatten(1).amax(1) > 0
    assert 0 < int(aged.sum()) < 16 and float(flair.max()) > 0.1


def test_sequences_differ_in_how_far_grey_and_fluid_lie_from_white():
    from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS

    from training.synthesis.contrasts import GREY_FROM_WHITE, draw_tissue_means

    means = draw_tissue_means((T1, FLAIR), 400, seeded(3))
    assert means.shape == (400, 2, len(Tissue)) and float(means.min()) > 0
    apart = means[:, 0, Tissue.WHITE] - means[:, 0, Tissue.CORTEX]
    typical = TISSUE_BRIGHTNESS[T1][Tissue.WHITE] - TISSUE_BRIGHTNESS[T1][Tissue.CORTEX]
    assert (
        float(apart.quantile(0.05)) < 0.45 * typical
        and float(apart.quantile(0.95)) > 1.25 * typical
    )
    assert abs(float(apart.median()) / typical - sum(GREY_FROM_WHITE) / 2) < 0.1
    darker = means[:, 0, Tissue.VENTRICLE] < means[
        :, 0, [Tissue.WHITE, Tissue.CORTEX, Tissue.THALAMUS]
    ].amin(1)
    assert darker.all(), "fluid is the darkest inside the skull on T1, on every scanner"


def test_the_modalities_of_a_sample_can_be_any():
    generator = ScanGenerator(label_archive(), replace(SMALL, modalities=tuple(Modality)))
    assert generator(1, seeded(0)).images.shape[1] == len(Modality)


def test_drawing_needs_torch_and_numpy_alone():
    code = (
        "import sys;"
        "banned = ('nibabel', 'scipy', 'SimpleITK', 'typer', 'skimage', 'monai', 'matplotlib');"
        "sys.modules.update(dict.fromkeys(banned)); import training.synthesis.generator"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)
