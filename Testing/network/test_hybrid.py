"""The hybrid network has all of its heads, in any dimension, and ignores absent contrasts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network.hybrid import CHANNELS, HybridNetwork, HybridSettings

SMALL = HybridSettings(features=(16, 32), layers=1, heads=4, embedding=128)


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
