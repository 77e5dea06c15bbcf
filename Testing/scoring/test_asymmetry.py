"""A place is asymmetric if it deviates beyond its counterpart on the other side."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.scoring.asymmetry import asymmetry
from hypothesis import given, settings
from hypothesis import strategies as st


def sides(
    order: tuple[int, ...], signs: tuple[int, ...], spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World coordinates (3, k, j, i) about the template's middle, affine, ellipsoid brain."""
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(signs) * spacing)[:, order]
    shape = (60, 60, 60)
    affine[:3, 3] = [-0.5, 0, 0] - affine[:3, :3] @ (np.array(shape) - 1) / 2
    k, j, i = np.indices(shape)
    world = (affine @ np.stack([i, j, k, np.ones(shape)]).reshape(4, -1))[:3].reshape(3, *shape)
    x, y, z = world
    return world, affine, ((x + 0.5) / 60) ** 2 + (y / 70) ** 2 + (z / 50) ** 2 < 1


@settings(max_examples=8, deadline=None)
@given(
    st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.sampled_from([-1, 1])
)
def test_what_lies_on_both_sides_is_not_asymmetric_and_what_lies_on_one_side_is_whatever_the_axes(
    order, signs, side
):
    (x, y, z), affine, brain = sides(tuple(order), signs, 2.5)
    both = np.square(np.abs(x + 0.5) - 15) + y**2 + z**2 < 8**2  # as ventricles do
    one = np.square(x - side * 30) + np.square(y - 25) + z**2 < 10**2
    deviation = (4 * both + 6 * one).astype(np.float32)
    found = asymmetry(deviation, brain, Grid(brain.shape, affine), np.eye(4))
    core = np.square(x - side * 30) + np.square(y - 25) + z**2 < 5**2
    twin = np.square(x + side * 30 + 1) + np.square(y - 25) + z**2 < 5**2
    assert found[core].min() > 4 and found[twin].max() < -4 and found[both].max() < 1
    assert not found[~brain].any()
    moved = np.eye(4)
    moved[:3, 3] = (12, -5, 3)
    there = affine.copy()
    there[:3, 3] += moved[:3, 3]
    assert np.abs(asymmetry(deviation, brain, Grid(brain.shape, there), moved) - found).max() < 1e-3


def test_a_symmetric_brain_that_is_a_little_crooked_has_no_asymmetry():
    (x, y, z), affine, brain = sides((0, 1, 2), (1, 1, 1), 2.5)
    crooked = np.square(np.abs(x - 1.0) - 20) + np.square(y + 0.05 * x) + z**2 < 9**2
    found = asymmetry(5 * crooked.astype(np.float32), brain, Grid(brain.shape, affine), np.eye(4))
    assert found.max() < 1.5
