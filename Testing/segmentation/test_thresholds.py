"""Every threshold method marks what its definition says, inside the brain alone."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.settings import ThresholdMethod, ThresholdSettings
from BrainSSLAnomalyLib.segmentation import thresholds
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from support.scores import some_scores

unit = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


@given(
    seeds, st.sampled_from(list(ThresholdMethod)), unit, unit, st.floats(0, 100), st.floats(0, 20)
)
def test_no_method_marks_anything_outside_the_brain(seed, method, a, b, percent, sds):
    score, brain = some_scores(seed)
    mask = thresholds.apply(
        score, brain, ThresholdSettings(method, max(a, b), min(a, b), percent, sds)
    )
    assert mask.dtype == bool and not (mask & ~brain).any()


@given(seeds, unit, unit)
def test_a_higher_threshold_never_marks_more(seed, a, b):
    score, brain = some_scores(seed)
    low, high = sorted((a, b))
    assert not (thresholds.fixed(score, brain, high) & ~thresholds.fixed(score, brain, low)).any()
    assert not (
        thresholds.percentile(score, brain, 100 * high)
        & ~thresholds.percentile(score, brain, 100 * low)
    ).any()
    assert not (
        thresholds.robust_z(score, brain, high * 5) & ~thresholds.robust_z(score, brain, low * 5)
    ).any()


@given(seeds, unit, unit)
def test_hysteresis_lies_between_its_two_fixed_thresholds_and_every_piece_has_a_seed(seed, a, b):
    score, brain = some_scores(seed)
    low, high = sorted((a, b))
    mask = thresholds.hysteresis(score, brain, low, high)
    seeds_, wide = thresholds.fixed(score, brain, high), thresholds.fixed(score, brain, low)
    assert not (seeds_ & ~mask).any() and not (mask & ~wide).any()
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert all(seeds_[labels == n].any() for n in range(1, count + 1))


def test_percentile_and_otsu_mark_what_their_definitions_say():
    score = np.zeros((10, 10, 10), np.float32)
    score[:2] = 0.8
    score[2:] += np.linspace(0, 0.1, 8 * 100, dtype=np.float32).reshape(8, 10, 10)
    brain = np.ones_like(score, bool)
    assert thresholds.otsu(score, brain).sum() == 200
    assert (
        thresholds.percentile(score, brain, 90).sum() == 0
    )  # the 90th percentile is 0.8 itself, and nothing is above
    assert thresholds.percentile(score, brain, 79).sum() >= 200


def test_an_empty_brain_and_a_flat_score_mark_nothing():
    flat, none = np.full((5, 5, 5), 0.5, np.float32), np.zeros((5, 5, 5), bool)
    for method in ThresholdMethod:
        assert not thresholds.apply(flat, none, ThresholdSettings(method)).any()
    assert not thresholds.otsu(flat, ~none).any()
