"""The shipped anomaly model is whole, safe to load, and as its bundle describes it."""

from __future__ import annotations

import shutil

import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings, DamagedModel
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import Device
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network import bundle
from BrainSSLAnomalyLib.network.model import (
    BUNDLE,
    PATCHES,
    StackedNetwork,
    load_model,
    torch_device,
)


@pytest.fixture
def other_bundle(tmp_path, monkeypatch):
    """A copy of the bundle that a test may spoil."""
    shutil.copytree(resource(BUNDLE), tmp_path / BUNDLE)
    monkeypatch.setattr(bundle, "resource", lambda *parts: tmp_path.joinpath(*parts))
    return tmp_path / BUNDLE


def test_the_bundle_passes_monais_check_of_inputs_and_outputs():
    from monai.bundle import verify_net_in_out

    files = {
        name: str(resource(BUNDLE, "configs", f"{name}.json")) for name in ("metadata", "inference")
    }
    verify_net_in_out(
        net_id="network_def",
        meta_file=files["metadata"],
        config_file=files["inference"],
        device="cpu",
    )


def test_the_bundles_config_builds_the_shipped_network():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(resource(BUNDLE, "configs", "inference.json")))
    assert isinstance(parser.get_parsed_content("network"), StackedNetwork)


def test_the_metadata_holds_everything_that_monais_schema_requires():
    about = bundle.read_metadata(BUNDLE)
    required = (
        "schema version changelog monai_version pytorch_version numpy_version task description "
        "authors copyright network_data_format"
    )
    assert set(required.split()) <= set(about) and about["version"] in about["changelog"]


def test_the_bundle_is_small():
    files = [p for p in resource(BUNDLE).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 16 * 2**20


@pytest.mark.parametrize("file", [bundle.WEIGHTS, PATCHES])
def test_a_changed_file_is_refused_in_a_sentence(other_bundle, file):
    path = other_bundle.joinpath(*file)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedModel, match="install the package again"):
        load_model(Device.CPU)


def test_a_gpu_that_is_not_there_is_missed_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device(Device.AUTO).type == "cpu"
    with pytest.raises(BadSettings, match="no GPU"):
        torch_device(Device.CUDA)
