"""Healthy scans are drawn from label maps: reproducibly, and with the properties of scans."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.study import Modality
from support.project import PROJECT
from support.training_heads import CODES, label_archive, seeded

from training.synthesis.generator import (
    LEFT_RIGHT,
    GeneratorSettings,
    ScanGenerator,
)

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)

T1, T2, FLAIR = SMALL.modalities


@pytest.fixture(scope="module")
def draw():
    """Draws two patients with some settings changed."""
    archive = label_archive()
    return lambda seed=0, batch=2, **changed: ScanGenerator(archive, replace(SMALL, **changed))(
        batch, seeded(seed)
    )


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
