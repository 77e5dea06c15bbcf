"""How long do the networks take on one thread? Run by ``make benchmark``.

Aims, seconds of a volume of 1 mm: anatomy 1, anomaly network 6, light network 3, explanation of one
finding 1.
"""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import Device, NetworkSize
from BrainSSLAnomalyLib.network.anatomy import load_anatomy_predictor
from BrainSSLAnomalyLib.network.channels import CHANNELS
from BrainSSLAnomalyLib.network.gradcam import class_activation_map
from BrainSSLAnomalyLib.network.inference import predict_volume
from BrainSSLAnomalyLib.network.model import load_model
from BrainSSLAnomalyLib.preparation.parcellation import WINDOW

SHAPE = (132, 168, 125)
"""Of the box of a brain at 1 mm."""


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    """An ellipsoid that fills the box, so that slices have the size that they have in a brain."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    images = np.zeros((len(CHANNELS), *SHAPE), np.float32)
    noise = np.random.default_rng(0).standard_normal(SHAPE)
    images[CHANNELS.index("FLAIR")] = noise * (k**2 + j**2 + i**2 <= 1)
    return images


PRESENT = np.array([modality == "FLAIR" for modality in CHANNELS], np.float32)


def test_anatomy_network(benchmark):
    predict = load_anatomy_predictor(Device.CPU, 1)
    scan = np.random.default_rng(0).random(WINDOW).astype(np.float32)
    benchmark.pedantic(predict, (scan,), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("size", list(NetworkSize), ids=lambda size: size.value)
def test_anomaly_network(benchmark, brain, size):
    engine = load_model(Device.CPU, size=size, threads=1).engine
    benchmark.pedantic(predict_volume, (engine, brain, PRESENT, (0, 1, 2)), rounds=2)


def test_explanation_of_a_finding(benchmark, brain):
    engine = load_model(Device.CPU, threads=1).engine
    finding = np.zeros(SHAPE, bool)
    finding[60:72, 80:92, 40:52] = True
    benchmark.pedantic(class_activation_map, (engine, brain, PRESENT, finding), rounds=3)
