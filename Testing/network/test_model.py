"""The shipped models are small, and a GPU is not assumed."""

from __future__ import annotations

import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import Device
from BrainSSLAnomalyLib.network import anatomy, device, model


def test_both_bundles_together_are_small():
    folders = (resource(model.BUNDLE), resource(anatomy.BUNDLE))
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 16 * 2**20


def test_a_gpu_that_is_not_there_is_missed_in_a_sentence(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    monkeypatch.setattr(device, "_torch_has_gpu_build", lambda: False)
    assert not device.runs_on_gpu(Device.AUTO)
    with pytest.raises(BadSettings, match="no GPU"):
        device.runs_on_gpu(Device.CUDA)


def test_a_gpu_without_pytorch_says_what_to_install(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    assert not device.runs_on_gpu(Device.AUTO)
    with pytest.raises(BadSettings, match=r"torch and monai and einops.*\[torch\]"):
        device.runs_on_gpu(Device.CUDA)


def test_a_gpu_that_pytorch_finds_is_used_unless_the_processor_is_chosen(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    monkeypatch.setattr(device, "_torch_has_gpu_build", lambda: True)
    monkeypatch.setattr(device, "_torch_finds_gpu", lambda: True)
    assert device.runs_on_gpu(Device.AUTO) and device.runs_on_gpu(Device.CUDA)
    assert not device.runs_on_gpu(Device.CPU)


def test_a_model_is_loaded_once():
    assert model.load_model(Device.CPU, threads=1) is model.load_model(Device.CPU, threads=1)
