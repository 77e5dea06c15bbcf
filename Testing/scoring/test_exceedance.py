"""A score says how much of a healthy brain is at least as unusual."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.scoring.exceedance import (
    ExceedanceTable,
    exceedance_table,
    most_similar_key,
    table_key,
)
from hypothesis import given
from hypothesis import strategies as st


def test_the_score_says_how_many_millilitres_of_a_healthy_brain_look_like_this():
    levels, healthy = np.array([0.0, 1, 2, 3, 4]), np.array([1000.0, 100, 9, 1, 1 / 9])
    score = ExceedanceTable(levels, healthy, np.ones(3), 3).calibrate(
        np.array([2.0, 3, 4, 99, -99], np.float32)
    )
    assert score == pytest.approx([0.1, 0.5, 0.9, 0.9, 1 / 1001], abs=0.01)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30))
def test_more_unusual_never_scores_less(values):
    table = exceedance_table([Modality.FLAIR])
    score = table.calibrate(np.sort(np.array(values, np.float32)))
    assert (np.diff(score) >= 0).all() and (score >= 0).all() and (score <= 1).all()


def test_p_values_are_conformal():
    table = ExceedanceTable(np.zeros(1), np.zeros(1), np.arange(1.0, 20), 19)
    assert table.p_value(100) == pytest.approx(1 / 20)
    assert table.p_value(0) == 1
    assert table.p_value(10) == pytest.approx(11 / 20)


def test_every_set_of_modalities_has_a_table_and_flair_is_never_read_off_a_table_without_it():
    for count in range(1, 6):
        for chosen in combinations(Modality, count):
            table = exceedance_table(chosen)
            assert table.scans >= 10 and (np.diff(table.healthy_ml) <= 0).all()
    assert exceedance_table([Modality.FLAIR, Modality.PD]) is exceedance_table(
        [Modality.FLAIR, Modality.T2]
    )
    assert exceedance_table([Modality.T1C]) is exceedance_table([Modality.T1])
    assert table_key([Modality.T2, Modality.FLAIR]) == "flair+t2"


def test_the_closest_known_set_of_modalities_keeps_flair_with_flair():
    known = ("flair", "t1", "t2", "flair+t1+t2")
    assert (
        most_similar_key((Modality.FLAIR, Modality.T1C), known) == "flair+t1+t2"
        or most_similar_key((Modality.FLAIR, Modality.T1C), known) == "flair"
    )
    assert (
        most_similar_key((Modality.PD,), known) == "t2"
        and most_similar_key((Modality.T1C,), known) == "t1"
    )
    assert "flair" not in most_similar_key((Modality.T1, Modality.T2), known)
