"""Normal bright regions are bright where they are in healthy people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.anatomy import Tissue
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_heads import CODES, label_archive, seeded

from training.synthesis.generator import (
    GeneratorSettings,
    ScanGenerator,
)

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)

T1, T2, FLAIR = SMALL.modalities


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


def test_rims_and_caps_are_white_matter_near_the_ventricles_and_half_are_as_bright_as_lesions():
    from training.synthesis.appearance import draw_rims_and_caps

    lateral = torch.zeros((1, 1, 20, 60, 40))
    lateral[..., 6:14, 20:40, 15:25] = 1
    maps = [draw_rims_and_caps(lateral, 1 - lateral, seeded(n), 1.0) for n in range(30)]
    distance = torch.from_numpy(ndimage.distance_transform_edt(lateral[0, 0].numpy() == 0))
    assert all(
        not m[lateral > 0].any() and not m[0, 0][distance > 9].any() and float(m.max()) <= 4
        for m in maps
    )
    bright = [m[0, 0] > 1.2 for m in maps]
    near = sum(int((b & (distance <= 3)).sum()) for b in bright) / sum(int(b.sum()) for b in bright)
    assert 0.6 < near < 0.95 and 0.3 < np.mean([bool(b.any()) for b in bright]) < 0.9
    front = [float(m[0, 0, 8:12, 40:46, 16:24].mean()) for m in maps]
    side = [float(m[0, 0, 8:12, 22:38, 28:31].mean()) for m in maps]
    assert np.mean(front) > 1.5 * np.mean(side)
