"""Deviations of several contrasts combine into one, standard on every scan."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.scoring.deviation import combine_zscores


def test_the_combined_deviation_is_standard_on_every_scan():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    for gain, shift in ((1.0, 0.0), (3.0, 1.0)):
        z = {
            m: (gain * rng.standard_normal(everywhere.shape) + shift).astype(np.float32)
            for m in (Modality.FLAIR, Modality.T1)
        }
        deviation = combine_zscores(z, everywhere, ~everywhere)
        middle, upper = np.percentile(deviation, (50, 75))
        assert (middle, upper) == pytest.approx((0, 0.6745), abs=0.02)


def test_disease_counts_in_its_usual_direction_and_the_other_sign_only_in_solid_brain():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    z = rng.standard_normal(everywhere.shape).astype(np.float32)
    z[3, 3, 3], z[9, 9, 9] = 8, -9
    t1 = {Modality.T1: -z}
    assert combine_zscores(t1, everywhere, ~everywhere)[3, 3, 3] > 7
    assert combine_zscores({Modality.FLAIR: z}, everywhere, ~everywhere)[9, 9, 9] < -7
    assert combine_zscores({Modality.FLAIR: z}, everywhere, everywhere)[9, 9, 9] > 4


def test_one_wild_companion_cannot_outvote_the_reference():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    flair, t2 = (rng.standard_normal(everywhere.shape).astype(np.float32) for _ in range(2))
    t2[5, 5, 5] = 10
    flair[5, 5, 5] = 0
    assert (
        combine_zscores({Modality.FLAIR: flair, Modality.T2: t2}, everywhere, ~everywhere)[5, 5, 5]
        < 2
    )
