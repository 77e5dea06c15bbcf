"""Errors, densities and fusion give known answers, and the grid of the network leads there and back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.preparation.network_grid import upright
from BrainSSLAnomalyLib.scoring import reconstruction_error as errors
from BrainSSLAnomalyLib.scoring.exceedance import closest
from BrainSSLAnomalyLib.scoring.fusion import FEATURES, LIMITS, Fusion
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage


def test_errors_of_a_perfect_reconstruction_are_zero_and_of_a_shift_are_known():
    image = np.random.default_rng(0).standard_normal((2, 12, 12, 12)).astype(np.float32)
    for measure in (errors.l1, errors.l2, errors.structural):
        assert np.abs(measure(image, image)).max() < 1e-6
    assert errors.l1(image, image + 3) == pytest.approx(np.full((12, 12, 12), 3), abs=1e-5)
    assert errors.l2(image, image + 3) == pytest.approx(np.full((12, 12, 12), 9), abs=1e-4)


def test_structural_error_is_highest_where_structure_is_lost():
    image = np.random.default_rng(0).standard_normal((1, 24, 24, 24)).astype(np.float32) * 3
    flat = image.copy()
    flat[:, 8:16, 8:16, 8:16] = 0
    error = errors.structural(image, flat)
    assert error[12, 12, 12] > 0.5 and abs(error[2, 2, 2]) < 1e-6


def test_densities_rise_with_the_distance_from_healthy_patches():
    torch = pytest.importorskip(
        "torch", reason="densities need torch: pip install 'brain-ssl-anomaly[model]'"
    )
    from BrainSSLAnomalyLib.network.feature_density import HealthyPatches

    generator = torch.Generator().manual_seed(0)
    middle = torch.nn.functional.normalize(torch.ones(8), dim=0)
    healthy = torch.nn.functional.normalize(
        middle + 0.1 * torch.randn((200, 8), generator=generator), dim=1
    )
    precision = torch.linalg.inv(torch.cov(healthy.T) + 1e-4 * torch.eye(8))
    patches = HealthyPatches(healthy.mean(0), precision, healthy[:50])
    like, unlike = middle.reshape(1, 8, 1, 1), -middle.reshape(1, 8, 1, 1)
    for name in (ScoreName.EUCLIDEAN, ScoreName.COSINE, ScoreName.MAHALANOBIS, ScoreName.KDE):
        near, far = (patches.distance(name)(p) for p in (like, unlike))
        assert near.shape == (1, 1, 1, 1) and float(near) < float(far)
    assert float(patches.distance(ScoreName.COSINE)(unlike)) == pytest.approx(2, abs=0.01)


def test_no_score_of_patches_is_fused_since_patches_cannot_say_where_a_lesion_ends():
    pytest.importorskip(
        "torch", reason="the network's scores need torch: pip install 'brain-ssl-anomaly[model]'"
    )
    from BrainSSLAnomalyLib.detection.network_detector import LATENT

    shipped = json.loads(resource("Model", "configs", "fusion.json").read_text(encoding="utf-8"))
    used = {ScoreName(name) for entry in shipped.values() for name in entry["weights"]}
    assert (
        used <= set(FEATURES) and set(FEATURES) <= set(LIMITS) and not set(FEATURES) & set(LATENT)
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


def test_the_closest_known_set_of_modalities_keeps_flair_with_flair():
    known = ("flair", "t1", "t2", "flair+t1+t2")
    assert (
        closest((Modality.FLAIR, Modality.T1C), known) == "flair+t1+t2"
        or closest((Modality.FLAIR, Modality.T1C), known) == "flair"
    )
    assert closest((Modality.PD,), known) == "t2" and closest((Modality.T1C,), known) == "t1"
    assert "flair" not in closest((Modality.T1, Modality.T2), known)


def prepared(affine: np.ndarray, shape: tuple[int, int, int]) -> SimpleNamespace:
    """What `upright` needs: an ellipsoid of smooth noise."""
    places = np.indices(shape).reshape(3, -1)[::-1]
    world = affine[:3, :3] @ places + affine[:3, 3:]
    world -= world.mean(1, keepdims=True)
    brain = (np.square(world / np.array([[26.0], [30.0], [24.0]])).sum(0) < 1).reshape(shape)
    x, y, z = world.reshape(3, *shape)
    image = (np.sin(x / 9) + 2 * np.cos(y / 11) + z / 10).astype(np.float32)
    return SimpleNamespace(
        brain=brain, box_affine=affine, images={Modality.FLAIR: image, Modality.T1: -image}
    )


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.floats(0.9, 1.4))
def test_there_and_back_is_the_same_in_every_order_of_axes(order, signs, spacing):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(signs) * spacing)[:, order]
    study = prepared(affine, (70, 70, 70))
    grid = upright(study)
    assert np.allclose(grid.affine[:3, :3], np.eye(3))
    inner = ndimage.binary_erosion(study.brain, iterations=4)
    back = grid.back(grid.images[Modality.FLAIR])
    assert np.abs(back - study.images[Modality.FLAIR])[inner].max() < 0.05
    outside = grid.images[Modality.FLAIR][~grid.brain]
    assert not outside.any()


def test_only_the_modalities_asked_for_are_shown_and_only_sharp_orientations_are_looked_at():
    thick = np.diag([1.0, 1.0, 6.0, 1.0])
    grid = upright(prepared(thick, (12, 70, 70)), (Modality.T1,))
    assert set(grid.images) == {Modality.T1} and grid.axes == (0,)
    assert upright(prepared(np.eye(4), (60, 70, 66))).axes == (0, 1, 2)
    assert upright(prepared(np.diag([6.0, 6.0, 6.0, 1.0]), (12, 12, 12))).axes  # never none
