"""Synthetic anomalies lie in the brain, change it, and are marked where they show."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.anatomy import Tissue
from support.training_heads import ball_brain, seeded

from training.synthesis import anomalies
from training.synthesis.acquisition import Slicing


@pytest.mark.parametrize("seed", range(6))
def test_anomalies_change_the_brain_alone_and_are_marked_only_where_something_changed(seed):
    patient = ball_brain()
    images, anomalous = anomalies.add(patient, seeded(seed), healthy=0.0)
    change = (images - patient.images).abs()
    assert torch.isfinite(images).all() and not change[:, ~patient.inside].any()
    around = torch.nn.functional.avg_pool3d(change[None], 3, 1, 1, count_include_pad=False)[0]
    assert bool(anomalous.any()) and bool((around[anomalous] > anomalies.VISIBLE_SD).all())
    again = anomalies.add(patient, seeded(seed), healthy=0.0)
    assert torch.equal(images, again[0]) and torch.equal(anomalous, again[1])


def test_half_of_the_lesions_have_a_fainter_penumbra_in_white_matter_that_is_no_part_of_them():
    patient = ball_brain()
    white = patient.is_in(Tissue.WHITE) & patient.inside
    mask, _ = anomalies.draw_blob(patient, 6.0, white.float(), seeded(0))
    full = torch.zeros(patient.tissues.shape)
    full[tuple(slice(n) for n in mask.shape)] = mask
    shown = [anomalies.add_penumbra(patient, full, seeded(seed)) for seed in range(40)]
    beyond = [(s - full)[full <= 0.5] for s in shown]
    assert all((s >= full).all() and torch.equal(s[full > 0.5], full[full > 0.5]) for s in shown)
    assert 10 < sum(bool(b.any()) for b in beyond) < 30
    assert all(float(s[s > full].max()) <= 0.5 for s in shown if (s > full).any())
    assert all((s == full)[~white].all() for s in shown)


def test_an_anomaly_is_no_sharper_than_the_slices_of_the_scan_it_is_put_into():
    patient, slices = ball_brain(), Slicing(0, 5)
    sharp, marked = anomalies.add(patient, seeded(1), healthy=0.0)
    soft, softly = anomalies.add(
        patient,
        seeded(1),
        healthy=0.0,
        acquire=anomalies.make_acquisition([slices, None], seeded(2)),
    )
    step = [(images - patient.images).diff(dim=1).abs() for images in (sharp, soft)]
    assert (
        float(step[1][0].max()) < 0.7 * float(step[0][0].max())
        and not (soft - patient.images)[:, ~patient.inside].any()
    )
    assert (
        softly.any() and not (softly.any(0) & ~marked.any(0)).sum() > 0.2 * softly.sum()
    )  # a fading rim is no part of it


def test_anomalies_before_the_scan_fit_its_units_and_are_never_negative():
    patient = ball_brain()
    images = (patient.images + 8) * 50 * patient.inside
    changed, marked = anomalies.make_change(spacing=2.0, healthy=0.0)(
        images, patient.tissues, patient.modalities, seeded(1)
    )
    assert (
        marked.any()
        and changed.min() >= 0
        and torch.equal(changed[:, ~patient.inside], images[:, ~patient.inside])
    )
    assert 20 < float((changed - images)[marked].abs().mean()) < 600
    unchanged, nothing = anomalies.make_change(spacing=2.0, healthy=1.0)(
        images, patient.tissues, patient.modalities, seeded(1)
    )
    assert torch.allclose(unchanged, images, atol=1e-3) and not nothing.any()


def test_healthy_patients_stay_as_they_are():
    patient = ball_brain()
    images, anomalous = anomalies.add(patient, seeded(0), healthy=1.0)
    assert torch.equal(images, patient.images) and not anomalous.any()


@pytest.mark.parametrize("name", sorted({**anomalies.SMALL, **anomalies.LARGE}))
def test_every_kind_changes_what_its_mask_covers(name):
    kind = {**anomalies.SMALL, **anomalies.LARGE}[name][0]
    patient = ball_brain()
    soft, box = anomalies.draw_blob(patient, 10.0, patient.inside.float(), seeded(1))
    mask = torch.zeros(patient.inside.shape)
    mask[box] = soft * patient.inside[box]
    images, changed = kind(patient, patient.images, mask, seeded(2))
    change = float((images - patient.images).abs()[:, mask > 0.5].mean())
    assert torch.isfinite(images).all() and (
        change > 0.05 or name == "pasted"
    )  # so small a brain has nothing far enough to paste
    assert bool((changed[mask > 0.9] > 0.5).all())


@pytest.mark.parametrize("kind", anomalies.LOCAL)
def test_a_part_of_a_brain_keeps_the_white_matter_of_the_whole(kind):
    patient, box = ball_brain(), (slice(2, 18), slice(5, 35), slice(6, 30))
    part = patient.crop(box)
    assert torch.equal(part.white_matter_mean, patient.white_matter_mean) and part.images.shape[
        1:
    ] == part.inside.shape == (16, 30, 24)
    images, changed = kind(part, part.images, part.inside.float(), seeded(0))
    assert images.shape == part.images.shape and changed.shape == part.inside.shape


@pytest.mark.parametrize("kind", sorted({*anomalies.SMALL, *anomalies.LARGE}))
def test_one_kind_alone_can_be_drawn(kind):
    others = tuple(k for k in {*anomalies.SMALL, *anomalies.LARGE} if k != kind)
    changed = [
        anomalies.add(ball_brain(), seeded(n), healthy=0.0, without=others)[1].any()
        for n in range(8)
    ]
    assert any(changed)


def test_lesions_of_ms_have_the_sizes_of_ms():
    volumes = [
        4 / 3 * np.pi * anomalies.ms_lesion_radius(share) ** 3 for share in (0.0, 0.33, 0.67, 0.93)
    ]
    assert volumes == pytest.approx([6, 17, 46, 261])
