"""Fusion rises with every score, and each score has a limit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.scoring.fusion import FEATURES, LIMITS, Fusion
from hypothesis import given
from hypothesis import strategies as st


def test_no_score_of_patches_is_fused_since_patches_cannot_say_where_a_lesion_ends():
    pytest.importorskip(
        "torch", reason="the network's scores need torch: pip install 'brain-ssl-anomaly[torch]'"
    )
    from BrainSSLAnomalyLib.detection.network_detector import LATENT_SCORES

    shipped = json.loads(resource("Model", "configs", "fusion.json").read_text(encoding="utf-8"))
    used = {ScoreName(name) for entry in shipped.values() for name in entry["weights"]}
    assert (
        used <= set(FEATURES)
        and set(FEATURES) <= set(LIMITS)
        and not set(FEATURES) & set(LATENT_SCORES)
    )


@given(st.dictionaries(st.sampled_from(FEATURES), st.floats(0, 3), min_size=1), st.integers(0, 100))
def test_the_fusion_rises_with_every_score_and_no_score_can_say_more_than_its_limit(weights, seed):
    rng = np.random.default_rng(seed)
    scores = {name: rng.uniform(-20, 20, (3, 3, 3)).astype(np.float32) for name in FEATURES}
    fuse = Fusion(weights, -1.0)
    here = fuse(scores)
    for name in weights:
        assert (fuse({**scores, name: scores[name] + 1}) >= here - 1e-4).all()
        assert (
            fuse({**scores, name: scores[name] * 0 + 1e6}).max()
            <= fuse({**scores, name: scores[name] * 0 + LIMITS[name][1]}).max() + 1e-3
        )
