"""The shipped anomaly model is small, and a GPU is not assumed."""

from __future__ import annotations

import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import Device
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network.model import (
    BUNDLE,
    torch_device,
)


def test_the_bundle_is_small():
    files = [p for p in resource(BUNDLE).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 16 * 2**20


def test_a_gpu_that_is_not_there_is_missed_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device(Device.AUTO).type == "cpu"
    with pytest.raises(BadSettings, match="no GPU"):
        torch_device(Device.CUDA)
