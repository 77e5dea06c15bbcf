"""What the network has seen becomes brain, pose, tissues and names; the network is played by a function that knows the truth."""

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
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.preparation.parcellation import (
    LEAST_LANDMARKS,
    MAX_INTENSITY,
    REGIONS_OF,
    WINDOW,
    Parcellation,
    named,
    pose,
    see,
    tissues,
)
from BrainSSLAnomalyLib.preparation.registration import mean_displacement
from BrainSSLAnomalyLib.preparation.template import load_template
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

GRID = np.diag([2.0, 2.0, 2.0, 1.0])
GRID[:3, 3] = -120
SHAPE = (120, 120, 120)


def atlas_as_seen(world: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Parcellation:
    """The template's own regions, moved by ``world``, as a network would see them."""
    template = load_template()
    regions = resample(
        Volume(template.regions, TEMPLATE_GRID.affine),
        shape,
        GRID,
        np.linalg.inv(world),
        interpolation=1,
    )
    probability = np.zeros((len(Structure), *shape), np.float32)
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
    return Parcellation(probability / probability.sum(0), GRID)


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
def test_the_pose_of_a_brain_is_read_off_the_centres_of_its_structures(degrees, shift, scale):
    world = moved(degrees, shift, scale)
    found = pose(atlas_as_seen(world), load_template())
    assert found is not None and mean_displacement(found, load_template(), world) < 4


def test_no_pose_is_read_off_what_does_not_look_like_a_brain():
    nothing = np.zeros((len(Structure), *SHAPE), np.float32)
    nothing[Structure.OUTSIDE] = 1
    assert pose(Parcellation(nothing, GRID), load_template()) is None
    mirrored = atlas_as_seen(np.eye(4))
    assert (
        pose(
            Parcellation(np.ascontiguousarray(mirrored.probability[..., ::-1, :]), GRID),
            load_template(),
        )
        is None
    )
    rng = np.random.default_rng(0)
    scattered = rng.random((len(Structure), 60, 60, 60)).astype(np.float32)
    assert pose(Parcellation(scattered / scattered.sum(0), GRID), load_template()) is None
    assert LEAST_LANDMARKS >= 4  # a similarity needs no fewer


def test_names_follow_what_was_seen_where_the_atlas_disagrees():
    seen = atlas_as_seen(np.eye(4))
    shifted = moved((0, 0, 0), (4, 0, 0), 1.0)
    template = load_template()
    regions = resample(
        Volume(template.regions, TEMPLATE_GRID.affine),
        SHAPE,
        GRID,
        np.linalg.inv(shifted),
        interpolation=1,
    ).astype(np.uint8)
    truth = resample(
        Volume(template.regions, TEMPLATE_GRID.affine), SHAPE, GRID, interpolation=1
    ).astype(np.uint8)
    out = named(seen, regions)
    brain = seen.names() > 0
    assert (out == truth)[brain].mean() > (regions == truth)[brain].mean() + 0.05
    for structure, allowed in REGIONS_OF.items():
        assert np.isin(out[seen.names() == structure], allowed).all()
    left = np.isin(truth, [r for r in Region if r.name.startswith("LEFT")])
    wrong_side = left & np.isin(out, [r for r in Region if r.name.startswith("RIGHT")]) & brain
    assert wrong_side.sum() < 0.005 * left.sum()


def test_tissues_seen_are_probabilities_and_keep_the_mass_of_each_structure():
    seen = atlas_as_seen(np.eye(4))
    rng = np.random.default_rng(1)
    priors = rng.random((len(Tissue), *SHAPE)).astype(np.float32)
    priors /= priors.sum(0) * 1.1
    found = tissues(seen, priors)
    assert found.min() >= 0 and found.sum(0).max() <= 1 + 1e-5
    np.testing.assert_allclose(
        found[list(INTRACRANIAL)].sum(0), 1 - seen.probability[Structure.OUTSIDE], atol=1e-4
    )
    thalami = seen.probability[[Structure.LEFT_THALAMUS, Structure.RIGHT_THALAMUS]].sum(0)
    np.testing.assert_allclose(found[Tissue.THALAMUS], thalami, atol=1e-5)


def test_every_structure_has_its_tissue_except_the_outside_and_the_cerebellum():
    without = {s for s, t in zip(Structure, TISSUE_OF_STRUCTURE, strict=True) if t is None}
    assert without == {Structure.OUTSIDE, Structure.LEFT_CEREBELLUM, Structure.RIGHT_CEREBELLUM}
    assert TISSUE_OF_STRUCTURE[Structure.LEFT_VENTRICLE] == Tissue.VENTRICLE
    assert TISSUE_OF_STRUCTURE[Structure.RIGHT_HIPPOCAMPUS] == Tissue.CORTEX


def test_the_network_is_shown_a_window_below_the_crown_and_then_one_around_the_brain_it_found():
    shown = []

    def look(scan: np.ndarray) -> np.ndarray:
        """Whatever is brighter than the neck is brain."""
        shown.append(scan)
        out = np.zeros((len(Structure), *scan.shape), np.float32)
        out[Structure.LEFT_WHITE] = scan > 1.4
        out[Structure.OUTSIDE] = scan <= 1.4
        return out

    body = np.zeros((200, 110, 90), np.float32)
    body[:, 30:80, 20:70] = 500 + 10 * np.random.default_rng(0).random((200, 50, 50))
    body[140:190, 30:80, 20:70] += 400
    seen = see(look, [Volume(body, GRID), Volume(body * 2, GRID)])
    assert seen.probability.shape == (len(Structure), *body.shape)
    np.testing.assert_allclose(seen.probability.sum(0), 1, atol=1e-5)
    assert (
        seen.names()[165, 50, 45] == Structure.LEFT_WHITE
        and seen.names()[165, 5, 5] == Structure.OUTSIDE
    )
    assert seen.names()[10, 50, 45] == Structure.OUTSIDE  # 360 mm below the crown
    assert len(shown) == 4 and all(s.shape == WINDOW and s.max() <= MAX_INTENSITY for s in shown)
    found = np.argwhere(shown[1] > 1.4)  # the second window has the brain in its middle
    np.testing.assert_allclose((found.min(0) + found.max(0)) / 2, np.array(WINDOW) / 2, atol=2)


@pytest.mark.parametrize("kind", ["empty", "constant"])
def test_scans_without_anything_are_shown_too_and_nothing_breaks(kind):
    def look(scan: np.ndarray) -> np.ndarray:
        return np.full((len(Structure), *scan.shape), 1 / len(Structure), np.float32)

    seen = see(
        look, [Volume(np.full((10, 12, 14), 0.0 if kind == "empty" else 3.0, np.float32), GRID)]
    )
    assert np.isfinite(seen.probability).all()
