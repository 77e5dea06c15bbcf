"""Healthy exceedance is a mean of real and synthetic scans, and never rarer than real ones show."""

from __future__ import annotations

import numpy as np
import pytest
from support.packages import need_network

need_network()

from training.release.exceedance import ENOUGH_SCANS, bound_by_subsets, mean_exceedance


def test_real_and_synthetic_healthy_scans_count_half_each_where_real_ones_are_few():
    one, other = np.full(3, 4.0), np.full(3, 2.0)
    assert mean_exceedance({"real": [one], "synthetic": [other] * 20}) == pytest.approx(3.0)
    assert mean_exceedance(
        {"real": [one] * ENOUGH_SCANS, "synthetic": [other] * 20}
    ) == pytest.approx(4.0)
    assert mean_exceedance({"real": [], "synthetic": [other]}) == pytest.approx(2.0)


def test_a_set_that_no_real_scan_shows_is_no_rarer_than_its_largest_subset_that_one_does():
    volumes = {
        "flair": np.array([5.0]),
        "flair+t2": np.array([3.0]),
        "flair+t1+t2": np.array([1.0]),
        "t1+t2": np.array([2.0]),
    }
    found = bound_by_subsets(volumes, {"flair", "flair+t2"})
    assert {k: float(v[0]) for k, v in found.items()} == {
        "flair": 5,
        "flair+t2": 3,
        "flair+t1+t2": 3,
        "t1+t2": 2,
    }


def test_of_two_subsets_as_large_as_each_other_both_count():
    volumes = {
        "t1": np.array([3.0, 1.0]),
        "t2": np.array([2.0, 2.0]),
        "t1+t2": np.array([1.0, 1.0]),
    }
    assert bound_by_subsets(volumes, {"t1", "t2"})["t1+t2"].tolist() == [3, 2]
    assert bound_by_subsets(volumes, {"t1", "t2", "t1+t2"})["t1+t2"].tolist() == [1, 1]
