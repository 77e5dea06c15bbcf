"""Regions end where their score falls far below their peak."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.scoring.exceedance import ExceedanceTable
from BrainSSLAnomalyLib.scoring.region_trimming import DEPTH, EDGE, anomaly_score, below_peak
from hypothesis import given
from hypothesis import strategies as st


def lesions(**peaks: float) -> np.ndarray:
    """Log-odds: a cube of 7³ with a halo of 2 voxels at 0 for every peak; elsewhere −9."""
    out = np.full((15, 15, 15 * len(peaks)), -9, np.float32)
    for n, peak in enumerate(peaks.values()):
        out[2:13, 2:13, 15 * n + 2 : 15 * n + 13] = 0
        out[4:11, 4:11, 15 * n + 4 : 15 * n + 11] = peak
    return out


def test_the_halo_of_a_bright_lesion_goes_and_that_of_a_faint_one_stays():
    log_odds = lesions(bright=7, faint=3)
    found = below_peak(log_odds, log_odds > -3)
    assert (found[..., :15] == (log_odds[..., :15] == 0)).all() and not found[..., 15:].any()


def test_a_single_wild_voxel_takes_nothing_from_its_neighbours():
    log_odds = lesions(faint=3)
    log_odds[7, 7, 7] = 50
    assert not below_peak(log_odds, log_odds > -3).any()


def test_only_fused_scores_lose_their_halo_and_what_is_beyond_the_healthy_table_counts_alike():
    table = ExceedanceTable(
        np.array([-5.0, -3, 0, 4, 5, 20]), np.array([20, 4, 1, 0.1, 0, 0]), np.ones(3), 3
    )
    scored, log_odds = np.ones((15, 15, 15), bool), lesions(endless=19)
    assert table.highest == 4
    plain, fused = (
        anomaly_score(log_odds, scored, table, name) for name in (ScoreName.LOGIT, ScoreName.FUSED)
    )
    assert (plain == fused).all() and plain[2, 2, 2] == pytest.approx(
        0.5, abs=0.01
    )  # 4 − DEPTH lies below the halo
    table = ExceedanceTable(table.levels, np.array([20, 4, 1, 0.1, 0.01, 0.001]), np.ones(3), 3)
    plain, fused = (
        anomaly_score(log_odds, scored, table, name) for name in (ScoreName.LOGIT, ScoreName.FUSED)
    )
    halo = log_odds == 0
    assert (fused[~halo] == plain[~halo]).all() and fused[halo] == pytest.approx(EDGE * plain[halo])


@given(st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=60), st.floats(-6, 0))
def test_halos_lie_in_regions_and_deeper_than_the_peak(values, level):
    log_odds = np.full((3, 3, len(values)), -12, np.float32)
    log_odds[1, 1] = values
    unusual = log_odds >= level
    found = below_peak(log_odds, unusual)
    assert not (found & ~unusual).any() and (log_odds[found] < log_odds.max() - DEPTH).all()
    assert not found.any() or np.ptp(log_odds[unusual]) > DEPTH
