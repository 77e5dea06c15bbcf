"""The shipped anatomy network is small, and both engines give the same probabilities."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Structure
from BrainSSLAnomalyLib.core.files import sha256
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import Device
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.network import bundle
from BrainSSLAnomalyLib.network.anatomy import BUNDLE, load_anatomy_predictor
from BrainSSLAnomalyLib.network.anatomy_network import (
    AnatomyNetwork,
    load_anatomy_network,
    torch_predictor,
)
from BrainSSLAnomalyLib.preparation.parcellation import WINDOW


def test_the_metadata_names_every_channel():
    form = bundle.read_metadata(BUNDLE)["network_data_format"]
    channels = form["outputs"]["pred"]["channel_def"]
    names = [structure.name.lower().replace("_", " ") for structure in Structure]
    assert [channels[str(int(structure))] for structure in Structure] == names


def test_it_is_small():
    assert sum(p.numel() for p in AnatomyNetwork().parameters()) <= 2_000_000
    assert resource(BUNDLE, *bundle.WEIGHTS).stat().st_size <= 4 * 2**20


def test_its_weights_are_safetensors_with_the_sha256_of_the_metadata():
    from safetensors import safe_open

    path = resource(BUNDLE, *bundle.WEIGHTS)
    assert sha256(path) == bundle.read_metadata(BUNDLE)["weights_sha256"]
    with safe_open(str(path), "np") as content:
        assert set(content.keys()) == set(AnatomyNetwork().state_dict())


def test_both_engines_give_the_same_probabilities():
    scan = np.random.default_rng(0).random(WINDOW).astype(np.float32)
    found = load_anatomy_predictor(Device.CPU, 1)(scan)
    assert found.shape == (len(Structure), *WINDOW)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-4)
    np.testing.assert_allclose(found, torch_predictor(load_anatomy_network())(scan), atol=1e-3)
