"""Activation maps depend on the weights and stay on the slices of their target."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.settings import ExplanationMethod as Method
from BrainSSLAnomalyLib.core.settings import ExplanationStage as Stage
from BrainSSLAnomalyLib.network.channels import CHANNELS
from BrainSSLAnomalyLib.network.gradcam import attention_map, class_activation_map
from BrainSSLAnomalyLib.network.hybrid import HybridNetwork, HybridSettings
from BrainSSLAnomalyLib.network.torch_engine import TorchEngine

SMALL = HybridSettings(features=(16, 32, 32), layers=1, heads=4, embedding=128)
PRESENT = np.ones(len(CHANNELS), np.float32)


def engine(seed: int = 0) -> TorchEngine:
    torch.manual_seed(seed)
    return TorchEngine(HybridNetwork(SMALL).eval())


def volume(seed: int = 0) -> np.ndarray:
    return (
        np.random.default_rng(seed).standard_normal((len(CHANNELS), 6, 22, 30)).astype(np.float32)
    )


def finding() -> np.ndarray:
    mask = np.zeros((6, 22, 30), bool)
    mask[2:4, 6:12, 8:16] = True
    return mask


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("method", list(Method))
def test_a_map_is_between_0_and_1_and_empty_on_slices_without_the_finding(stage, method):
    heat = class_activation_map(engine(), volume(), PRESENT, finding(), stage=stage, method=method)
    assert heat.shape == (6, 22, 30) and heat.dtype == np.float32 and np.isfinite(heat).all()
    assert heat.min() >= 0 and heat.max() == pytest.approx(1, abs=1e-2)
    assert not heat[[0, 1, 4, 5]].any() and heat[2:4].any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_orientation_can_be_explained(axis):
    heat = class_activation_map(engine(), volume(), PRESENT, finding(), axis=axis)
    empty = ~finding().any(tuple(a for a in range(3) if a != axis))
    assert not np.moveaxis(heat, axis, 0)[empty].any()


def test_an_explanation_leaves_no_trace_in_the_network():
    own = engine()
    before = {name: value.clone() for name, value in own.network.state_dict().items()}
    class_activation_map(own, volume(), PRESENT, finding())
    attention_map(own, volume()[:, 2], PRESENT, finding()[2])
    after = own.network.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    modules = list(own.network.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in modules)
    assert all(parameter.grad is None for parameter in own.network.parameters())
    assert not own.network.transformer[-1].attn.save_attn


def test_an_empty_target_has_an_empty_map():
    assert not class_activation_map(engine(), volume(), PRESENT, np.zeros((6, 22, 30), bool)).any()


def test_attention_is_shared_out_over_the_patches():
    images, asked = volume()[:, 2, :20, :28], finding()[2, :20, :28]
    shares = attention_map(engine(), images, PRESENT, asked)
    assert shares.shape == asked.shape and shares.min() >= 0
    assert shares.mean() == pytest.approx(1, rel=0.2)  # interpolated between patches
