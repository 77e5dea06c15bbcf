"""A map of a finding depends on the finding and on the weights, and is not the anomaly map."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.results import NetworkInput
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    Device,
    ExplanationMethod,
    ExplanationStage,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection.detect import anatomy_predictor
from BrainSSLAnomalyLib.network.channels import stack_channels
from BrainSSLAnomalyLib.network.gradcam import class_activation_map
from BrainSSLAnomalyLib.network.inference import predict_volume
from BrainSSLAnomalyLib.network.model import load_model
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.preparation.network_grid import brain_on, network_input
from scipy import ndimage, stats
from support.packages import need_network

DEFAULT = (ExplanationMethod.HIRESCAM, ExplanationStage.CONVOLUTION)


class Case(NamedTuple):
    """Some slices of the synthetic patient with two lesions or more.

    Attributes:
        given: the network's input, cropped to the slices.
        brain: (k, j, i) bool.
        lesions: (k, j, i) bool each.
    """

    given: NetworkInput
    brain: np.ndarray
    lesions: list[np.ndarray]


@pytest.fixture(scope="module")
def case() -> Case:
    study, truth = synthetic_patient(0, 2.0)
    flair = Study({Modality.FLAIR: study.scans[Modality.FLAIR]})
    settings = DetectionSettings(device=Device.CPU, threads=1)
    prepared = prepare(flair, predictor=anatomy_predictor(settings))
    given = network_input(prepared)
    brain = brain_on(given.grid, prepared.box_volume(prepared.brain))
    lesions = resample(truth.with_array((truth.array > 0).astype(np.float32)), given.grid) > 0.5
    labels, count = ndimage.label(lesions & brain)
    shown = [
        [n for n in range(1, count + 1) if (labels[k] == n).sum() >= 12] for k in range(len(labels))
    ]
    best = max(range(len(labels)), key=lambda k: len(shown[k]))
    some = slice(best, best + 2)
    images = {m: image[some] for m, image in given.images.items()}
    found = [labels[some] == n for n in shown[best]]
    assert len(found) >= 2, "no slice of the synthetic patient shows two lesions"
    return Case(NetworkInput(images, given.affine, (0,)), brain[some], found)


def explain(case: Case, lesion: np.ndarray, engine, method, stage) -> np.ndarray:
    images, present = stack_channels(case.given)
    heat = class_activation_map(engine, images, present, lesion, stage=stage, method=method)
    return heat[case.brain]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """0 where a map is empty: nothing speaks for an anomaly there."""
    return float(np.corrcoef(one, other)[0, 1]) if one.any() and other.any() else 0.0


@pytest.fixture(scope="module")
def engine():
    return load_model(Device.CPU, threads=1).engine


def test_two_lesions_of_one_slice_have_different_maps(case, engine):
    maps = [explain(case, lesion, engine, *DEFAULT) for lesion in case.lesions]
    assert all(heat.max() == pytest.approx(1) for heat in maps)
    for one, other in combinations(maps, 2):
        assert correlation(one, other) < 0.5


def test_the_peak_of_a_map_lies_at_its_lesion(case, engine):
    for lesion in case.lesions:
        heat = np.zeros(lesion.shape, np.float32)
        heat[case.brain] = explain(case, lesion, engine, *DEFAULT)
        away = ndimage.distance_transform_edt(~lesion)
        assert away[np.unravel_index(heat.argmax(), heat.shape)] <= 10


def test_a_map_is_not_the_anomaly_map(case, engine):
    images, present = stack_channels(case.given)
    logit = predict_volume(engine, images, present, (0,)).anomaly[case.brain]
    for lesion in case.lesions:
        heat = explain(case, lesion, engine, *DEFAULT)
        assert stats.spearmanr(heat, logit)[0] < 0.9


def test_random_weights_give_another_map(case, engine):
    """Adebayo et al., NeurIPS 2018: a map that outlives random weights shows only the target."""
    torch = need_network()
    from BrainSSLAnomalyLib.network.model import load_hybrid_network
    from BrainSSLAnomalyLib.network.torch_engine import TorchEngine

    def untrained(seed: int) -> TorchEngine:
        network = load_hybrid_network()
        torch.manual_seed(seed)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        return TorchEngine(network)

    likeness = []
    for lesion in case.lesions:
        trained = explain(case, lesion, engine, *DEFAULT)
        likeness += [
            correlation(trained, explain(case, lesion, untrained(seed), *DEFAULT))
            for seed in range(8)
        ]
    assert np.mean(likeness) < 0.5


def test_the_last_block_of_the_decoder_would_show_the_logit_whatever_it_is_asked(case, monkeypatch):
    """The fault that the stages were chosen against."""
    need_network()
    from BrainSSLAnomalyLib.network import torch_engine
    from BrainSSLAnomalyLib.network.model import load_hybrid_network

    monkeypatch.setattr(torch_engine, "stage_module", lambda network, _: network.decoder[-1])
    last = torch_engine.TorchEngine(load_hybrid_network())
    one, other = (
        explain(case, lesion, last, ExplanationMethod.GRADCAM, ExplanationStage.DECODER)
        for lesion in case.lesions[:2]
    )
    assert correlation(one, other) > 0.99
