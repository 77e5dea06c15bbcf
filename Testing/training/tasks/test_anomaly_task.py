"""Anomalies lie in the brain and are marked; absent contrasts are ignored; losses are finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

torch = pytest.importorskip(
    "torch", reason="learning needs torch: pip install 'brain-ssl-anomaly[model]'"
)
pytest.importorskip(
    "monai", reason="the hybrid needs MONAI: pip install 'brain-ssl-anomaly[model]'"
)
pytest.importorskip(
    "einops", reason="MONAI's transformer needs einops: pip install 'brain-ssl-anomaly[model]'"
)

from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.hybrid import CHANNELS, HybridNetwork, HybridSettings
from BrainSSLAnomalyLib.network.inference import IDENTITY, MIRROR, predict_volume
from support.training_heads import healthy_pairs, label_archive, seeded

from training.engine.config import CONFIGS, read_config
from training.pretext.contrastive import Queue, nt_xent
from training.pretext.masked import mask_blocks
from training.pretext.rotation import rotate
from training.pretext.shuffle import ORDERS, shuffle_quarters
from training.synthesis import anomalies
from training.synthesis.acquisition import Slicing
from training.tasks.anomaly import (
    AnomalySettings,
    AnomalyTask,
    Learner,
    network_weights,
    parse_settings,
)
from training.tasks.slices import GAIN, SHIFT, SliceSettings, widen

SMALL = HybridSettings(features=(16, 32), layers=1, heads=4, embedding=128)


def brain(seed: int = 0) -> anomalies.Brain:
    """A ball of white matter with a ventricle, noise for intensity."""
    k, j, i = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in (20, 40, 40)), indexing="ij")
    radius = torch.sqrt(k**2 + (j / 2) ** 2 + (i / 2) ** 2)
    tissues = torch.where(radius < 8, Tissue.WHITE + 1, 0)
    tissues[radius < 2] = Tissue.VENTRICLE + 1
    images = torch.randn((2, 20, 40, 40), generator=seeded(seed)) * (tissues > 0)
    return anomalies.Brain(images, tissues, tissues > 0, (Modality.FLAIR, Modality.T1), 2.0)


@pytest.mark.parametrize("seed", range(6))
def test_anomalies_change_the_brain_alone_and_are_marked_only_where_something_changed(seed):
    patient = brain()
    images, anomalous = anomalies.add(patient, seeded(seed), healthy=0.0)
    change = (images - patient.images).abs()
    assert torch.isfinite(images).all() and not change[:, ~patient.inside].any()
    around = torch.nn.functional.avg_pool3d(change[None], 3, 1, 1, count_include_pad=False)[0]
    assert bool(anomalous.any()) and bool((around[anomalous] > anomalies.VISIBLE_SD).all())
    again = anomalies.add(patient, seeded(seed), healthy=0.0)
    assert torch.equal(images, again[0]) and torch.equal(anomalous, again[1])


def test_half_of_the_lesions_have_a_fainter_penumbra_in_white_matter_that_is_no_part_of_them():
    patient = brain()
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
    patient, slices = brain(), Slicing(0, 5)
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
    patient = brain()
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
    patient = brain()
    images, anomalous = anomalies.add(patient, seeded(0), healthy=1.0)
    assert torch.equal(images, patient.images) and not anomalous.any()


@pytest.mark.parametrize("name", sorted({**anomalies.SMALL, **anomalies.LARGE}))
def test_every_kind_changes_what_its_mask_covers(name):
    kind = {**anomalies.SMALL, **anomalies.LARGE}[name][0]
    patient = brain()
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
    patient, box = brain(), (slice(2, 18), slice(5, 35), slice(6, 30))
    part = patient.crop(box)
    assert torch.equal(part.white_matter_mean, patient.white_matter_mean) and part.images.shape[
        1:
    ] == part.inside.shape == (16, 30, 24)
    images, changed = kind(part, part.images, part.inside.float(), seeded(0))
    assert images.shape == part.images.shape and changed.shape == part.inside.shape


@pytest.mark.parametrize("seed", range(4))
def test_healthy_and_changed_scans_are_widened_alike_within_the_brain(seed):
    patient = brain()
    changed = patient.images + 2.0 * patient.inside
    wide, other = widen((patient.images, changed), patient.inside, seeded(seed))
    assert not wide[:, ~patient.inside].any() and not other[:, ~patient.inside].any()
    for before, after, apart in zip(patient.images, wide, other - wide, strict=True):
        gain = float(after[patient.inside].std() / before[patient.inside].std())
        assert (
            GAIN[0] <= gain <= GAIN[1]
            and abs(float((after - gain * before)[patient.inside].mean())) < 5 * SHIFT
        )
        assert float((apart[patient.inside] - 2 * gain).abs().max()) < 1e-3, (
            "a lesion is widened, too"
        )


@pytest.mark.parametrize("dims", [2, 3])
def test_the_hybrid_gives_every_head_on_slices_and_on_volumes(dims):
    network = HybridNetwork(replace(SMALL, spatial_dims=dims)).eval()
    shape = (16,) * dims
    out = network(torch.randn((2, len(CHANNELS), *shape)), torch.ones((2, len(CHANNELS))))
    assert out.reconstruction.shape == out.log_variance.shape == (
        2,
        len(CHANNELS),
        *shape,
    ) and out.anomaly.shape == (2, 1, *shape)
    assert torch.allclose(out.scan.norm(dim=1), torch.ones(2), atol=1e-5) and out.patches.shape == (
        2,
        128,
        *(8,) * dims,
    )


def test_what_a_missing_modality_holds_is_not_looked_at():
    network = HybridNetwork(SMALL).eval()
    images, present = torch.randn((1, len(CHANNELS), 16, 16)), torch.ones((1, len(CHANNELS)))
    present[0, 2] = 0
    other = images.clone()
    other[0, 2] = 99
    assert torch.equal(network(images, present).anomaly, network(other, present).anomaly)
    assert not torch.equal(
        network(images, present).anomaly, network(images, torch.ones_like(present)).anomaly
    )


def test_the_shipped_size_has_at_most_nine_million_weights():
    assert sum(p.numel() for p in HybridNetwork().parameters()) <= 9_000_000


def test_slices_come_back_in_their_place_in_every_orientation_and_one_prediction_has_no_spread():
    class Echo(torch.nn.Module):
        multiple = 2

        def __init__(self):
            super().__init__()
            self.device = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images, present):
            from BrainSSLAnomalyLib.network.hybrid import NetworkOutput

            return NetworkOutput(
                images, images, images[:, :1], images, torch.ones((len(images), 4)), images
            )

    volume = torch.randn((len(CHANNELS), 5, 6, 7), generator=seeded(0)).numpy()
    present = torch.ones(len(CHANNELS)).numpy()
    for axes, augmentations in (((0,), (IDENTITY,)), ((0, 1, 2), (IDENTITY, MIRROR))):
        predicted = predict_volume(
            Echo(),  # type: ignore[arg-type]
            volume,
            present,
            axes,
            augmentations=augmentations,
            batch=2,
        )
        assert abs(predicted.reconstruction - volume).max() < 1e-5
        assert abs(predicted.anomaly - volume[0]).max() < 1e-5 and predicted.spread.max() < 1e-2


def test_pretext_tasks_change_the_images_as_their_labels_state():
    images = torch.randn((6, 2, 32, 32), generator=seeded(0))
    emptied, empty = mask_blocks(images, seeded(1), share=1.0)
    gone = empty.expand_as(images) > 0
    assert (emptied[gone] == 0).all() and torch.equal(emptied[~gone], images[~gone])
    turned, turns = rotate(images, seeded(2))
    assert all(
        torch.equal(t.rot90(-int(n), (-2, -1)), x)
        for t, n, x in zip(turned, turns, images, strict=True)
    )
    mixed, orders = shuffle_quarters(images, seeded(3))
    assert len(ORDERS) == 24 and all(
        torch.equal(m, x) == (int(n) == 0) for m, n, x in zip(mixed, orders, images, strict=True)
    )


def test_contrastive_losses_are_lower_for_pairs_that_agree():
    one = torch.nn.functional.normalize(torch.randn((8, 16), generator=seeded(0)), dim=1)
    assert float(nt_xent(one, one)) < float(nt_xent(one, one.roll(1, 0)))
    torch.manual_seed(0)
    queue = Queue(16, size=12)
    agreeing = float(queue.loss(one, one))
    assert torch.equal(queue.kept[:8], one) and agreeing < float(queue.loss(one, -one))


def test_every_part_of_the_loss_is_finite_and_reaches_the_network_and_zero_weights_switch_off():
    torch.manual_seed(0)
    weights = {**AnomalySettings().weights, "momentum": 0.1}
    slices = SliceSettings(crop=32, spacing=4.0, slab=9, every=4, patients=2, held_out=1)
    settings = AnomalySettings(SMALL, slices, pretext_slices=2, weights=weights)
    archive = replace(label_archive(), maps=label_archive().maps * 2)
    task = AnomalyTask(archive, settings)
    batch = task.draw(1, seeded(0))
    assert batch.healthy.shape == (4, len(CHANNELS), 32, 32) and bool(
        (batch.present.sum(1) >= 1).all()
    )
    learner = Learner(settings)
    parts = task.loss(learner, batch)
    assert set(parts) == {name for name, w in weights.items() if w} and all(
        torch.isfinite(v) for v in parts.values()
    )
    torch.stack(list(parts.values())).sum().backward()
    untouched = {name for name, p in learner.network.named_parameters() if p.grad is None}
    assert all(
        "cross" in name for name in untouched
    )  # MONAI's block has a norm for cross-attention, which nobody uses here
    only = replace(settings, weights={"reconstruction": 1.0})
    assert set(Learner(only)(batch)) == {"reconstruction"}
    HybridNetwork(SMALL).load_state_dict(network_weights(learner.state_dict()))


def test_settings_are_read_from_a_config():
    assert parse_settings(
        {"slices": {"without": ["blurred"]}, "network": {"features": [16, 32]}}
    ).network.features == (16, 32)


@pytest.mark.parametrize("kind", sorted({*anomalies.SMALL, *anomalies.LARGE}))
def test_one_kind_alone_can_be_drawn(kind):
    others = tuple(k for k in {*anomalies.SMALL, *anomalies.LARGE} if k != kind)
    changed = [
        anomalies.add(brain(), seeded(n), healthy=0.0, without=others)[1].any() for n in range(8)
    ]
    assert any(changed)


@pytest.mark.parametrize("config", sorted(p.stem for p in CONFIGS.glob("anomaly*.json")))
def test_every_config_of_the_hybrid_stays_within_nine_million_weights(config):
    settings, trainer = read_config(config)
    assert isinstance(settings, AnomalySettings) and trainer.steps > trainer.warmup
    assert sum(p.numel() for p in HybridNetwork(settings.network).parameters()) <= 9_000_000


def test_nothing_is_learned_from_what_is_not_known_to_be_healthy_but_the_network_is_shown_it(
    monkeypatch,
):
    monkeypatch.setattr("training.tasks.slices.SLICES_MM", (0.0, 0.0, 0.0))
    slices = SliceSettings(crop=32, spacing=2.0, slab=9, every=4, patients=4, elderly=1.0)
    task = AnomalyTask(
        label_archive(), AnomalySettings(SMALL, slices, pretext_slices=2), elderly=healthy_pairs()
    )
    batch = task.draw(1, seeded(0))
    shown, learned = (batch.healthy != 0).any(1, keepdim=True), batch.inside > 0
    assert bool((shown & ~learned).any()) and bool((batch.tissues >= 0).any())
    assert not batch.anomalous[~learned.expand_as(batch.anomalous)].any()
    assert set(batch.present.nonzero()[:, 1].tolist()) <= {
        CHANNELS.index(m) for m in (Modality.T1, Modality.T2, Modality.PD, Modality.FLAIR)
    }
    torch.manual_seed(0)
    learner = Learner(task._settings)
    parts = learner(batch)
    assert all(torch.isfinite(v) for v in parts.values())
    other = batch._replace(healthy=torch.where(learned, batch.healthy, 7.0))
    again = learner(other)
    unchanged = (
        "reconstruction",
        "masked",
        "uncertainty",
        "anomaly",
        "tissues",
        "compactness",
        "structure",
    )
    assert all(torch.allclose(parts[name], again[name]) for name in unchanged)


def test_lesions_of_ms_have_the_sizes_of_ms():
    volumes = [
        4 / 3 * np.pi * anomalies.ms_lesion_radius(share) ** 3 for share in (0.0, 0.33, 0.67, 0.93)
    ]
    assert volumes == pytest.approx([6, 17, 46, 261])


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
