"""Every part of the loss is finite, reaches the network, and leaves out what is excluded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.hybrid import CHANNELS, HybridNetwork, HybridSettings
from support.training_heads import healthy_pairs, label_archive, seeded

from training.engine.config import CONFIGS, read_config
from training.tasks.anomaly import (
    AnomalySettings,
    AnomalyTask,
    Learner,
    network_weights,
    parse_settings,
)
from training.tasks.slices import SliceSettings

SMALL = HybridSettings(features=(16, 32), layers=1, heads=4, embedding=128)


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
