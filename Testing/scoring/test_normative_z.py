"""A z-score compares each voxel with the healthy tissues that it may consist of."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.scoring.normative_z import MAX_Z, median_filter, normative_z
from hypothesis import given
from hypothesis import strategies as st

numbers = st.floats(-8, 8)


def z_of(values, weights, mean, sd, endless=None):
    image = np.asarray(values, np.float32).reshape(1, 1, -1)
    maps = np.broadcast_to(
        np.asarray(weights, np.float32)[:, None, None, None], (len(weights), *image.shape)
    )
    sides = None if endless is None else np.asarray(endless, np.int8)
    return normative_z(
        image,
        maps,
        np.asarray(mean, float),
        np.asarray(sd, float),
        np.ones(image.shape, bool),
        sides,
    ).ravel()


@given(numbers, st.floats(-50, 50), st.floats(0.1, 20))
def test_with_one_tissue_z_is_the_ordinary_z(z, mean, sd):
    assert z_of([mean + z * sd], [1.0], [mean], [sd])[0] == pytest.approx(z, abs=2e-2)


@given(
    st.lists(st.floats(-20, 20), min_size=2, max_size=20), st.floats(0.05, 0.95), st.floats(-5, 5)
)
def test_brighter_is_never_less(values, share, other):
    z = z_of(sorted(values), [share, 1 - share], [0, other], [1, 0.5])
    assert (np.diff(z) >= -1e-5).all() and (np.abs(z) <= MAX_Z).all()


def test_what_one_of_the_healthy_tissues_explains_is_no_anomaly():
    assert abs(z_of([10.0], [0.5, 0.5], [0, 10], [1, 1])[0]) < 1.2
    assert z_of([10.0], [1.0, 0.0], [0, 10], [1, 1])[0] > 7


def test_nothing_is_more_fluid_than_fluid():
    assert z_of([-30.0], [0.2, 0.8], [0, -10], [1, 1], [0, -1])[0] > -1.5
    assert z_of([-30.0], [0.2, 0.8], [0, -10], [1, 1])[0] < -5


def test_the_median_takes_out_single_voxels_but_never_joins_thick_slices():
    array = np.zeros((7, 9, 9), np.float32)
    array[3, 4, 4] = 9
    assert not median_filter(array, (1, 1, 1)).any()
    array[3] = 9
    assert np.array_equal(median_filter(array, (5, 1, 1)), array)
