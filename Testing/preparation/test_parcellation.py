"""Brain, pose, tissues and regions follow from a parcellation; the network is a made function."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import (
    INTRACRANIAL,
    TEMPLATE_GRID,
    TISSUE_OF_STRUCTURE,
    Region,
    Structure,
    Tissue,
)
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.preparation.parcellation import (
    MAX_INTENSITY,
    MIN_LANDMARKS,
    REGIONS_OF,
    WINDOW,
    Parcellation,
    correct_regions,
    estimate_pose,
    predict_parcellation,
    tissue_probabilities,
)
from BrainSSLAnomalyLib.preparation.registration import mean_displacement
from BrainSSLAnomalyLib.preparation.template import load_template
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
AFFINE[:3, 3] = -120
GRID = Grid((120, 120, 120), AFFINE)


def parcellation_of_atlas(world: np.ndarray, grid: Grid = GRID) -> Parcellation:
    """The template's own regions, moved by ``world``, as a network would predict them."""
    template = load_template()
    regions = resample(
        Volume(template.regions, TEMPLATE_GRID.affine), grid, np.linalg.inv(world), nearest=True
    )
    probability = np.zeros((len(Structure), *grid.shape), np.float32)
    for structure, codes in REGIONS_OF.items():
        probability[structure] = np.isin(regions, codes)
    for side in (
        "LEFT",
        "RIGHT",
    ):  # lobes hold white matter and cortex, the lentiform nucleus putamen and pallidum
        probability[Structure[f"{side}_CORTEX"]] *= 0.4
        probability[Structure[f"{side}_WHITE"]] *= 0.6
        probability[Structure[f"{side}_THALAMUS"]] *= 0.9
    probability[Structure.OUTSIDE] = probability.sum(0) == 0
    return Parcellation(probability / probability.sum(0), AFFINE)


def moved(
    degrees: tuple[float, float, float], shift: tuple[float, float, float], scale: float
) -> np.ndarray:
    world = np.eye(4)
    world[:3, :3] = scale * Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    world[:3, 3] = shift
    return world


angles, shifts = st.floats(-40, 40), st.floats(-20, 20)


@settings(max_examples=6)
@given(st.tuples(angles, angles, angles), st.tuples(shifts, shifts, shifts), st.floats(0.85, 1.15))
def test_the_pose_of_a_brain_follows_from_the_centres_of_its_structures(degrees, shift, scale):
    world = moved(degrees, shift, scale)
    found = estimate_pose(parcellation_of_atlas(world), load_template())
    assert found is not None and mean_displacement(found, load_template(), world) < 4


def test_what_is_no_brain_has_no_pose():
    nothing = np.zeros((len(Structure), *GRID.shape), np.float32)
    nothing[Structure.OUTSIDE] = 1
    assert estimate_pose(Parcellation(nothing, AFFINE), load_template()) is None
    mirrored = parcellation_of_atlas(np.eye(4))
    assert (
        estimate_pose(
            Parcellation(np.ascontiguousarray(mirrored.probability[..., ::-1, :]), AFFINE),
            load_template(),
        )
        is None
    )
    rng = np.random.default_rng(0)
    scattered = rng.random((len(Structure), 60, 60, 60)).astype(np.float32)
    assert (
        estimate_pose(Parcellation(scattered / scattered.sum(0), AFFINE), load_template()) is None
    )
    assert MIN_LANDMARKS >= 4  # a similarity needs no fewer


def test_regions_follow_the_parcellation_where_the_atlas_disagrees():
    parcellation = parcellation_of_atlas(np.eye(4))
    shifted = moved((0, 0, 0), (4, 0, 0), 1.0)
    template = load_template()
    regions = resample(
        Volume(template.regions, TEMPLATE_GRID.affine), GRID, np.linalg.inv(shifted), nearest=True
    ).astype(np.uint8)
    truth = resample(Volume(template.regions, TEMPLATE_GRID.affine), GRID, nearest=True).astype(
        np.uint8
    )
    out = correct_regions(parcellation, regions)
    brain = parcellation.labels > 0
    assert (out == truth)[brain].mean() > (regions == truth)[brain].mean() + 0.05
    for structure, allowed in REGIONS_OF.items():
        assert np.isin(out[parcellation.labels == structure], allowed).all()
    left = np.isin(truth, [r for r in Region if r.name.startswith("LEFT")])
    wrong_side = left & np.isin(out, [r for r in Region if r.name.startswith("RIGHT")]) & brain
    assert wrong_side.sum() < 0.005 * left.sum()


def test_tissues_are_probabilities_and_keep_the_mass_of_each_structure():
    parcellation = parcellation_of_atlas(np.eye(4))
    rng = np.random.default_rng(1)
    priors = rng.random((len(Tissue), *GRID.shape)).astype(np.float32)
    priors /= priors.sum(0) * 1.1
    found = tissue_probabilities(parcellation, priors)
    assert found.min() >= 0 and found.sum(0).max() <= 1 + 1e-5
    np.testing.assert_allclose(
        found[list(INTRACRANIAL)].sum(0), 1 - parcellation.probability[Structure.OUTSIDE], atol=1e-4
    )
    thalami = parcellation.probability[[Structure.LEFT_THALAMUS, Structure.RIGHT_THALAMUS]].sum(0)
    np.testing.assert_allclose(found[Tissue.THALAMUS], thalami, atol=1e-5)


def test_every_structure_has_its_tissue_except_the_outside_and_the_cerebellum():
    without = {s for s, t in zip(Structure, TISSUE_OF_STRUCTURE, strict=True) if t is None}
    assert without == {Structure.OUTSIDE, Structure.LEFT_CEREBELLUM, Structure.RIGHT_CEREBELLUM}
    assert TISSUE_OF_STRUCTURE[Structure.LEFT_VENTRICLE] == Tissue.VENTRICLE
    assert TISSUE_OF_STRUCTURE[Structure.RIGHT_HIPPOCAMPUS] == Tissue.CORTEX


def test_the_network_gets_a_window_below_the_crown_and_then_one_around_the_brain_found_there():
    shown = []

    def predict(scan: np.ndarray) -> np.ndarray:
        """Whatever is brighter than the neck is brain."""
        shown.append(scan)
        out = np.zeros((len(Structure), *scan.shape), np.float32)
        out[Structure.LEFT_WHITE] = scan > 1.4
        out[Structure.OUTSIDE] = scan <= 1.4
        return out

    body = np.zeros((200, 110, 90), np.float32)
    body[:, 30:80, 20:70] = 500 + 10 * np.random.default_rng(0).random((200, 50, 50))
    body[140:190, 30:80, 20:70] += 400
    parcellation = predict_parcellation(predict, Volume(body, AFFINE))
    assert parcellation.probability.shape == (len(Structure), *body.shape)
    np.testing.assert_allclose(parcellation.probability.sum(0), 1, atol=1e-5)
    assert (
        parcellation.labels[165, 50, 45] == Structure.LEFT_WHITE
        and parcellation.labels[165, 5, 5] == Structure.OUTSIDE
    )
    assert parcellation.labels[10, 50, 45] == Structure.OUTSIDE  # 360 mm below the crown
    assert len(shown) == 2 and all(s.shape == WINDOW and s.max() <= MAX_INTENSITY for s in shown)
    found = np.argwhere(shown[1] > 1.4)  # the second window has the brain in its middle
    np.testing.assert_allclose((found.min(0) + found.max(0)) / 2, np.array(WINDOW) / 2, atol=2)


def test_of_a_stripped_brain_only_one_window_is_predicted_around_its_middle():
    shown = []

    def predict(scan: np.ndarray) -> np.ndarray:
        shown.append(scan)
        return np.full((len(Structure), *scan.shape), 1 / len(Structure), np.float32)

    brain = np.zeros((110, 110, 110), np.float32)
    brain[10:70, 20:90, 30:90] = 300
    predict_parcellation(predict, Volume(brain, AFFINE), is_stripped=True)
    (window,) = shown
    found = np.argwhere(window > 0.5)
    np.testing.assert_allclose((found.min(0) + found.max(0)) / 2, np.array(WINDOW) / 2, atol=1)


@pytest.mark.parametrize("kind", ["empty", "constant"])
def test_scans_without_any_content_are_predicted_too(kind):
    def predict(scan: np.ndarray) -> np.ndarray:
        return np.full((len(Structure), *scan.shape), 1 / len(Structure), np.float32)

    parcellation = predict_parcellation(
        predict, Volume(np.full((10, 12, 14), 0.0 if kind == "empty" else 3.0, np.float32), AFFINE)
    )
    assert np.isfinite(parcellation.probability).all()
