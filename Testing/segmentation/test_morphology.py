"""Morphology works in millimetres and equals that of SciPy."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.settings import MorphologySettings
from BrainSSLAnomalyLib.segmentation import morphology
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support.scores import some_mask

SPACING = (2.0, 1.0, 0.5)
seeds = st.integers(0, 2**32 - 1)
radii = st.floats(0, 4)


@given(seeds, radii)
def test_opening_shrinks_closing_grows_and_both_are_idempotent(seed, radius):
    mask, _ = some_mask(seed)
    opened, closed = (
        morphology.open_mask(mask, radius, SPACING),
        morphology.close_mask(mask, radius, SPACING),
    )
    assert not (opened & ~mask).any() and not (mask & ~closed).any()
    assert np.array_equal(morphology.open_mask(opened, radius, SPACING), opened)
    assert np.array_equal(morphology.close_mask(closed, radius, SPACING), closed)


@given(seeds, radii)
def test_erosion_is_the_dilation_of_the_background(seed, radius):
    mask, _ = some_mask(seed)
    padded = np.pad(mask, 10)
    assert np.array_equal(
        morphology.erode(padded, radius, SPACING),
        ~morphology.dilate(~padded, radius, SPACING) & padded,
    )


@given(seeds, st.tuples(*[st.integers(0, 4)] * 3))
def test_dilation_is_that_of_scipy_with_the_same_ellipsoid(seed, radii_ijk):
    mask, _ = some_mask(seed)
    ri, rj, rk = radii_ijk
    k, j, i = np.indices((2 * rk + 1, 2 * rj + 1, 2 * ri + 1))
    ball = ((k - rk) / max(rk, 1)) ** 2 + ((j - rj) / max(rj, 1)) ** 2 + (
        (i - ri) / max(ri, 1)
    ) ** 2 <= 1 + 1e-6
    spacing = tuple(12.0 / r if r else 13.0 for r in (rk, rj, ri))
    assert np.array_equal(
        morphology.dilate(mask, 12.0, spacing), ndimage.binary_dilation(mask, ball)
    )


@given(seeds)
def test_filling_holes_is_that_of_scipy(seed):
    mask, _ = some_mask(seed)
    shell = mask ^ ndimage.binary_erosion(mask)
    assert np.array_equal(morphology.fill_holes(shell), ndimage.binary_fill_holes(shell))


def test_a_radius_is_in_millimetres_whatever_the_voxels():
    dot = np.zeros((21, 41, 81), bool)
    dot[10, 20, 40] = True
    k, j, i = np.nonzero(morphology.dilate(dot, 4.0, SPACING))
    assert (np.ptp(k) * 2.0, np.ptp(j) * 1.0, np.ptp(i) * 0.5) == (8.0, 8.0, 8.0)


def test_thick_slices_are_not_joined_by_a_small_radius():
    dot = np.zeros((5, 9, 9), bool)
    dot[2, 4, 4] = True
    grown = morphology.dilate(dot, 2.0, (5.0, 1.0, 1.0))
    assert grown[2].sum() > 1 and not grown[[1, 3]].any()


@given(seeds, st.floats(0, 0.1))
def test_what_remains_is_at_least_the_smallest_finding(seed, smallest):
    mask, _ = some_mask(seed)
    kept = morphology.remove_small(mask, smallest, 0.001)
    labels, count = ndimage.label(kept, np.ones((3, 3, 3)))
    assert not (kept & ~mask).any()
    assert all((labels == n).sum() * 0.001 >= smallest - 1e-9 for n in range(1, count + 1))


def test_holes_are_filled_only_where_no_path_leads_out():
    shell = np.zeros((9, 9, 9), bool)
    shell[2:7, 2:7, 2:7] = True
    shell[4, 4, 4] = False
    assert morphology.fill_holes(shell)[4, 4, 4]
    shell[4, 4, 4:] = False
    assert not morphology.fill_holes(shell)[4, 4, 4]


@settings(max_examples=40)
@given(seeds, radii, radii, radii, radii, st.booleans(), st.floats(0, 0.05))
def test_morphology_in_a_box_is_morphology_on_the_whole(
    seed, opening, closing, dilation, erosion, fill, smallest
):
    mask, brain = some_mask(seed)
    chosen = MorphologySettings(opening, closing, dilation, erosion, fill, smallest)
    result = morphology.apply(mask, brain, SPACING, 0.001, chosen)
    wide, near = np.pad(mask, 15), np.pad(brain, 15)
    around = morphology.apply(wide, near, SPACING, 0.001, chosen)[15:-15, 15:-15, 15:-15]
    assert np.array_equal(result, around)
    assert not (result & ~brain).any()
