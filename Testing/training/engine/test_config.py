"""Configs are read, and one that is like another changes only what it states."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.packages import need_network

need_network()
pytest.importorskip(
    "lightning_fabric",
    reason="training needs lightning-fabric: pip install 'brain-ssl-anomaly[model,training]'",
)


def test_every_config_can_be_read():
    from training.engine.config import CONFIGS, read_config

    for path in CONFIGS.glob("*.json"):
        data, trainer = read_config(path.stem)
        sizes = data.shape if hasattr(data, "shape") else (data.slices.crop,)
        assert (
            all(n % 16 == 0 for n in sizes) and trainer.steps > 0 and json.loads(path.read_text())
        )


def test_a_config_that_is_like_another_changes_only_what_it_says():
    from training.engine.config import read_config

    (cpu, slow), (gpu, fast) = read_config("anomaly_cpu"), read_config("anomaly_gpu")
    assert gpu.network == cpu.network and gpu.weights == cpu.weights, (
        "one goes on from the weights of the other"
    )
    assert gpu.slices == replace(cpu.slices, patients=16) and gpu.pretext_slices == 16
    assert (fast.steps, fast.learning_rate) == (3400, slow.learning_rate)
