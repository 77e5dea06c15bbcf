"""Both shipped bundles are whole, safe to load, and as they describe themselves."""

from __future__ import annotations

import json
import shutil

import pytest
from BrainSSLAnomalyLib.core.errors import DamagedModel
from BrainSSLAnomalyLib.core.files import sha256
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import Device
from BrainSSLAnomalyLib.core.version import __version__
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.network import anatomy, anatomy_network, bundle, model, onnx_engine, stacked

LOADERS = {
    anatomy.BUNDLE: lambda: anatomy.load_anatomy_predictor(Device.CPU),
    model.BUNDLE: lambda: model.load_model(Device.CPU),
}
NETWORKS = {anatomy.BUNDLE: anatomy_network.AnatomyNetwork, model.BUNDLE: stacked.StackedNetwork}
REQUIRED = (
    "schema version changelog monai_version pytorch_version numpy_version task description "
    "authors copyright network_data_format"
)

each_bundle = pytest.mark.parametrize("name", list(LOADERS))


@pytest.fixture
def spoiled(tmp_path, monkeypatch):
    """A copy of both bundles that a test may spoil."""
    for name in LOADERS:
        shutil.copytree(resource(name), tmp_path / name)
    monkeypatch.setattr(bundle, "resource", lambda *parts: tmp_path.joinpath(*parts))
    anatomy.load_anatomy_predictor.cache_clear()
    model.load_model.cache_clear()
    return tmp_path


@each_bundle
def test_the_bundle_passes_monais_check_of_inputs_and_outputs(name):
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        net_id="network_def",
        meta_file=str(resource(name, "configs", "metadata.json")),
        config_file=str(resource(name, "configs", "inference.json")),
        device="cpu",
    )


@each_bundle
def test_the_config_builds_the_shipped_network(name):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(resource(name, "configs", "inference.json")))
    assert isinstance(parser.get_parsed_content("network"), NETWORKS[name])


@each_bundle
def test_the_metadata_holds_what_monais_schema_requires_and_the_version_of_the_package(name):
    about = bundle.read_metadata(name)
    assert set(REQUIRED.split()) <= set(about)
    assert about["version"] == __version__ and __version__ in about["changelog"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (anatomy.BUNDLE, bundle.WEIGHTS),
        (model.BUNDLE, bundle.WEIGHTS),
        (model.BUNDLE, model.PATCHES),
        (anatomy.BUNDLE, bundle.graph_path(anatomy.GRAPH)),
        (model.BUNDLE, bundle.graph_path(onnx_engine.PREDICT_GRAPH)),
    ],
)
def test_a_changed_byte_is_noticed_and_refused_in_a_sentence(spoiled, name, file):
    path = spoiled.joinpath(name, *file)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedModel, match="install the package again"):
        LOADERS[name]()


def test_weights_of_another_network_are_refused(spoiled):
    from safetensors.torch import save_file

    path = spoiled.joinpath(anatomy.BUNDLE, *bundle.WEIGHTS)
    save_file({"layer": torch.zeros(2)}, path)
    metadata = spoiled / anatomy.BUNDLE / "configs" / "metadata.json"
    about = json.loads(metadata.read_text())
    about["weights_sha256"] = sha256(path)
    metadata.write_text(json.dumps(about))
    with pytest.raises(DamagedModel, match="another network"):
        anatomy_network.load_anatomy_network()
