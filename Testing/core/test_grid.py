"""A grid keeps its voxels in their place, whatever is cropped or padded."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.grid import Grid, bounding_box, embed, level_reached
from BrainSSLAnomalyLib.core.study import Volume
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(1, 9)
numbers = st.floats(-4, 4).filter(lambda x: abs(x) > 0.2)


@st.composite
def grids(draw) -> Grid:
    affine = np.eye(4)
    order = draw(st.permutations(range(3)))
    affine[:3, :3] = np.diag([draw(numbers) for _ in range(3)])[:, order]
    affine[0, 1] += draw(st.floats(-0.1, 0.1))
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    return Grid(tuple(draw(sizes) for _ in range(3)), affine)


indices = st.tuples(*[st.floats(-5, 15)] * 3)


@given(grids(), indices)
def test_a_place_and_its_index_lead_to_each_other(grid, index):
    assert grid.to_index(tuple(grid.to_ras(index))) == pytest.approx(index, abs=1e-6)


@given(grids(), st.data())
def test_a_crop_keeps_every_voxel_in_its_place(grid, data):
    starts = [data.draw(st.integers(-3, n - 1)) for n in grid.shape]
    box = tuple(
        slice(s, data.draw(st.integers(s + 1, n + 3)))
        for s, n in zip(starts, grid.shape, strict=True)
    )
    part = grid.crop(box)
    assert part.shape == tuple(b.stop - b.start for b in box)
    assert part.spacing == pytest.approx(grid.spacing)
    assert part.to_ras((0, 0, 0)) == pytest.approx(grid.to_ras(tuple(starts)), abs=1e-9)
    last = tuple(n - 1 for n in part.shape)
    assert part.to_ras(last) == pytest.approx(grid.to_ras(tuple(b.stop - 1 for b in box)), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_bounding_box_holds_the_mask_and_embedding_brings_the_array_back(seed, margin):
    rng = np.random.default_rng(seed)
    array = rng.random((5, 6, 7)) * (rng.random((5, 6, 7)) > 0.9)
    array[2, 3, 4] = 1
    box = bounding_box(array > 0, margin)
    assert np.array_equal(embed(array[box], box, array.shape), array)
    if not any(margin):
        inside = array[box] > 0
        for axis in range(3):
            ends = np.moveaxis(inside, axis, 0)
            assert ends[0].any() and ends[-1].any()


def test_grids_are_equal_if_shape_and_affine_are():
    grid = Grid((2, 3, 4), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 1e-4
    assert grid == Grid((2, 3, 4), np.eye(4)) and grid != Grid((2, 3, 5), np.eye(4))
    assert grid.matches(Grid((2, 3, 4), moved)) and grid != Grid((2, 3, 4), moved)
    assert grid != "grid"


@pytest.mark.parametrize(("shape", "affine"), [((2, 3), np.eye(4)), ((2, 3, 4), np.eye(3))])
def test_a_grid_without_three_axes_is_refused(shape, affine):
    with pytest.raises(ValueError, match=r"three axes|4×4"):
        Grid(shape, affine)


def test_a_volume_refuses_an_array_of_another_shape():
    volume = Volume(np.zeros((2, 3, 4), np.float32), np.eye(4))
    assert volume.grid == Grid((2, 3, 4), np.eye(4))
    with pytest.raises(ValueError):
        volume.with_array(np.zeros((2, 3, 5), np.float32))


def test_a_level_is_what_a_tenth_of_a_millilitre_reaches():
    scores = np.zeros(1000, np.float32)
    scores[:99] = 0.9
    assert level_reached(scores, 0.1, 0.001) == 0
    scores[99] = 0.8
    assert level_reached(scores, 0.1, 0.001) == pytest.approx(0.8)
