"""The shipped anatomy network: whole, safe to load, and as its bundle says."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import Structure
from BrainSSLAnomalyLib.core.errors import DamagedModel
from BrainSSLAnomalyLib.core.resources import resource
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.network import bundle
from BrainSSLAnomalyLib.network.anatomy import (
    BUNDLE,
    AnatomyNetwork,
    anatomy_predictor,
    load_anatomy_network,
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
    assert isinstance(parser.get_parsed_content("network"), AnatomyNetwork)


def test_the_metadata_names_every_channel_and_everything_that_monais_schema_requires():
    about = bundle.read_metadata(BUNDLE)
    required = (
        "schema version changelog monai_version pytorch_version numpy_version task description "
        "authors copyright network_data_format"
    )
    assert set(required.split()) <= set(about)
    channels = about["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert [channels[str(int(s))] for s in Structure] == [
        s.name.lower().replace("_", " ") for s in Structure
    ]
    assert about["version"] in about["changelog"]


def test_it_is_small():
    assert sum(p.numel() for p in AnatomyNetwork().parameters()) <= 2_000_000
    assert resource(BUNDLE, *bundle.WEIGHTS).stat().st_size <= 4 * 2**20


def test_its_weights_are_safetensors_with_the_sha256_of_the_metadata():
    from safetensors import safe_open

    path = resource(BUNDLE, *bundle.WEIGHTS)
    assert bundle.sha256(path) == bundle.read_metadata(BUNDLE)["weights_sha256"]
    with safe_open(str(path), "np") as content:
        assert set(content.keys()) == set(AnatomyNetwork().state_dict())


def test_a_changed_byte_in_the_weights_is_noticed(other_bundle):
    path = other_bundle.joinpath(*bundle.WEIGHTS)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedModel, match="install the package again"):
        load_anatomy_network()


def test_weights_of_another_network_are_refused(other_bundle):
    import torch
    from safetensors.torch import save_file

    path = other_bundle.joinpath(*bundle.WEIGHTS)
    save_file({"layer": torch.zeros(2)}, path)
    about = json.loads((other_bundle / "configs" / "metadata.json").read_text())
    about["weights_sha256"] = bundle.sha256(path)
    (other_bundle / "configs" / "metadata.json").write_text(json.dumps(about))
    with pytest.raises(DamagedModel, match="another network"):
        load_anatomy_network()


def test_it_gives_probabilities_on_grids_of_any_size():
    predict = anatomy_predictor(load_anatomy_network())
    for shape in ((64, 64, 64), (30, 70, 41)):
        found = predict(np.random.default_rng(0).random(shape).astype(np.float32))
        assert found.shape == (len(Structure), *shape)
        np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
