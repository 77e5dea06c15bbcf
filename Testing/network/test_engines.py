"""ONNX Runtime and PyTorch give the same output, gradients and attention."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import Device, ExplanationStage
from BrainSSLAnomalyLib.network.channels import CHANNELS
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network.model import load_hybrid_network, load_model
from BrainSSLAnomalyLib.network.torch_engine import TorchEngine

SIZES = [(1, 16, 16), (3, 64, 48), (2, 48, 112)]
"""Of batches of slices: other sizes than those that the graphs were traced with."""


@pytest.fixture(scope="module")
def engines():
    return load_model(Device.CPU, threads=1).engine, TorchEngine(load_hybrid_network())


def slices_and_target(size):
    rng = np.random.default_rng(0)
    count, j, i = size
    slices = rng.standard_normal((count, len(CHANNELS), j, i)).astype(np.float32)
    return slices, (rng.random((count, 1, j, i)) > 0.9).astype(np.float32)


PRESENCES = [np.array(p, np.float32) for p in ((0, 0, 0, 1, 0), (1, 0, 1, 1, 0))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("present", PRESENCES, ids=["one contrast", "three contrasts"])
def test_the_output_is_the_same(engines, size, present):
    slices, _ = slices_and_target(size)
    ours, theirs = (engine.predict(slices, present) for engine in engines)
    for name in ours._fields:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stage", list(ExplanationStage))
def test_features_and_gradients_of_every_stage_are_the_same(engines, size, stage):
    slices, target = slices_and_target(size)
    ours, theirs = (engine.explain(slices, PRESENCES[0], target, stage) for engine in engines)
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == other.shape and np.abs(other).max() > 0
        assert np.abs(own - other).max() <= 1e-4 * np.abs(other).max()


@pytest.mark.parametrize("size", SIZES)
def test_the_attention_is_the_same_and_shared_out(engines, size):
    slices, _ = slices_and_target(size)
    ours, theirs = (engine.attention(slices, PRESENCES[0]) for engine in engines)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(ours.sum(-1), 1, atol=1e-4)


def test_the_last_block_of_the_decoder_alone_would_show_the_logit(engines):
    """Why no stage is the last one: there the gradient is the same everywhere."""
    slices, target = slices_and_target((1, 64, 48))
    _, gradient = engines[0].explain(slices, PRESENCES[0], target, ExplanationStage.CONVOLUTION)
    assert gradient.std((2, 3)).max() > 0, "the gradient depends on the place"
