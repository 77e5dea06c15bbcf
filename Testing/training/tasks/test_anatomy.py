"""The anatomy network learns structures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.packages import need_network

torch = need_network()
pytest.importorskip(
    "lightning_fabric",
    reason="training needs lightning-fabric: pip install 'brain-ssl-anomaly[model,training]'",
)


from training.engine.checkpoint import WEIGHTS
from training.engine.trainer import TrainerSettings, train
from training.tasks.anatomy import CODES, AnatomySettings, AnatomyTask, soft_dice


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS)


def test_soft_dice_is_one_for_the_truth_and_ignores_absent_classes():
    truth = torch.randint(0, 3, (2, 6, 6, 6), generator=torch.Generator().manual_seed(0))
    perfect = torch.nn.functional.one_hot(truth, 5).movedim(-1, 1) * 50.0
    assert float(soft_dice(perfect, truth)) == pytest.approx(1, abs=1e-4)
    assert float(soft_dice(-perfect, truth)) < 0.2


def test_every_code_belongs_to_one_structure():
    codes = [c for group in CODES.values() for c in group]
    assert len(codes) == len(set(codes))


def test_the_anatomy_network_learns_for_a_minute_on_a_processor_and_its_weights_load(tmp_path):
    """The smoke run of training/README.md, smaller."""
    pytest.importorskip("monai")
    from BrainSSLAnomalyLib.core.anatomy import Structure
    from BrainSSLAnomalyLib.network.anatomy_network import AnatomyNetwork
    from support.training_heads import label_archive

    task = AnatomyTask(
        replace(label_archive(), maps=label_archive().maps * 2),
        AnatomySettings(shape=(64, 64, 64), held_out=1, validation_patients=1),
    )
    settings = TrainerSettings(
        steps=3, warmup=1, precision="32-true", log_every=1, validate_every=2, save_every=2
    )
    assert train(task, settings, tmp_path) == 3
    network = AnatomyNetwork()
    network.load_state_dict(weights(tmp_path))
    assert network(torch.rand((1, 1, 64, 64, 64))).shape == (1, len(Structure), 64, 64, 64)
    assert (tmp_path / WEIGHTS).stat().st_size < 8e6
