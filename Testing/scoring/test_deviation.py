"""The score without a network means what its docstrings say."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.scoring.asymmetry import asymmetry
from BrainSSLAnomalyLib.scoring.deviation import combine, score_from_deviation
from BrainSSLAnomalyLib.scoring.exceedance import ExceedanceTable, exceedance_table, table_key
from BrainSSLAnomalyLib.scoring.normative_maps import NormativeMaps, normative_maps
from BrainSSLAnomalyLib.scoring.normative_z import LARGEST_Z, median_filter, normative_z
from BrainSSLAnomalyLib.scoring.region_trimming import DEPTH, EDGE, anomaly_score, skirts
from hypothesis import given, settings
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
    assert (np.diff(z) >= -1e-5).all() and (np.abs(z) <= LARGEST_Z).all()


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


def test_the_combined_deviation_is_standard_on_every_scan():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    for gain, shift in ((1.0, 0.0), (3.0, 1.0)):
        z = {
            m: (gain * rng.standard_normal(everywhere.shape) + shift).astype(np.float32)
            for m in (Modality.FLAIR, Modality.T1)
        }
        deviation = combine(z, everywhere, ~everywhere)
        middle, upper = np.percentile(deviation, (50, 75))
        assert (middle, upper) == pytest.approx((0, 0.6745), abs=0.02)


def test_disease_counts_in_its_usual_direction_and_the_other_sign_only_in_solid_brain():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    z = rng.standard_normal(everywhere.shape).astype(np.float32)
    z[3, 3, 3], z[9, 9, 9] = 8, -9
    t1 = {Modality.T1: -z}
    assert combine(t1, everywhere, ~everywhere)[3, 3, 3] > 7
    assert combine({Modality.FLAIR: z}, everywhere, ~everywhere)[9, 9, 9] < -7
    assert combine({Modality.FLAIR: z}, everywhere, everywhere)[9, 9, 9] > 4


def test_one_wild_companion_cannot_outvote_the_reference():
    rng = np.random.default_rng(0)
    everywhere = np.ones((20, 20, 20), bool)
    flair, t2 = (rng.standard_normal(everywhere.shape).astype(np.float32) for _ in range(2))
    t2[5, 5, 5] = 10
    flair[5, 5, 5] = 0
    assert combine({Modality.FLAIR: flair, Modality.T2: t2}, everywhere, ~everywhere)[5, 5, 5] < 2


def test_the_score_says_how_many_millilitres_of_a_healthy_brain_look_like_this():
    levels, healthy = np.array([0.0, 1, 2, 3, 4]), np.array([1000.0, 100, 9, 1, 1 / 9])
    score = score_from_deviation(np.array([2.0, 3, 4, 99, -99], np.float32), levels, healthy)
    assert score == pytest.approx([0.1, 0.5, 0.9, 0.9, 1 / 1001], abs=0.01)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30))
def test_more_unusual_never_scores_less(values):
    table = exceedance_table([Modality.FLAIR])
    score = score_from_deviation(
        np.sort(np.array(values, np.float32)), table.levels, table.healthy_ml
    )
    assert (np.diff(score) >= 0).all() and (score >= 0).all() and (score <= 1).all()


def lesions(**peaks: float) -> np.ndarray:
    """Log-odds: a cube of 7³ with a halo of 2 voxels at 0 around it, for every peak given; elsewhere −9."""
    out = np.full((15, 15, 15 * len(peaks)), -9, np.float32)
    for n, peak in enumerate(peaks.values()):
        out[2:13, 2:13, 15 * n + 2 : 15 * n + 13] = 0
        out[4:11, 4:11, 15 * n + 4 : 15 * n + 11] = peak
    return out


def test_the_halo_of_a_bright_lesion_goes_and_that_of_a_faint_one_stays():
    log_odds = lesions(bright=7, faint=3)
    found = skirts(log_odds, log_odds > -3)
    assert (found[..., :15] == (log_odds[..., :15] == 0)).all() and not found[..., 15:].any()


def test_a_single_wild_voxel_takes_nothing_from_its_neighbours():
    log_odds = lesions(faint=3)
    log_odds[7, 7, 7] = 50
    assert not skirts(log_odds, log_odds > -3).any()


def test_only_fused_scores_lose_their_skirts_and_what_is_beyond_the_healthy_table_counts_alike():
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
def test_skirts_lie_in_regions_and_deeper_than_the_peak(values, level):
    log_odds = np.full((3, 3, len(values)), -12, np.float32)
    log_odds[1, 1] = values
    unusual = log_odds >= level
    found = skirts(log_odds, unusual)
    assert not (found & ~unusual).any() and (log_odds[found] < log_odds.max() - DEPTH).all()
    assert not found.any() or np.ptp(log_odds[unusual]) > DEPTH


def test_p_values_are_conformal():
    table = ExceedanceTable(np.zeros(1), np.zeros(1), np.arange(1.0, 20), 19)
    assert table.p_value(100) == pytest.approx(1 / 20)
    assert table.p_value(0) == 1
    assert table.p_value(10) == pytest.approx(11 / 20)


def test_every_set_of_modalities_has_a_table_and_flair_is_never_read_off_a_table_without_it():
    from itertools import combinations

    for count in range(1, 6):
        for chosen in combinations(Modality, count):
            table = exceedance_table(chosen)
            assert table.scans >= 10 and (np.diff(table.healthy_ml) <= 0).all()
    assert exceedance_table([Modality.FLAIR, Modality.PD]) is exceedance_table(
        [Modality.FLAIR, Modality.T2]
    )
    assert exceedance_table([Modality.T1C]) is exceedance_table([Modality.T1])
    assert table_key([Modality.T2, Modality.FLAIR]) == "flair+t2"


def test_a_place_that_is_usually_dark_needs_to_be_darker_to_count():
    grid = np.diag([2.0, 2, 2, 1])
    mean = np.zeros((8, 8, 8), np.float32)
    mean[:, :, 4:] = -2
    usual = NormativeMaps(Volume(mean, grid), Volume(np.full((8, 8, 8), 2.0, np.float32), grid))
    z = usual.standardise(np.full((8, 8, 8), -4.0, np.float32), grid, np.eye(4))
    assert z[4, 4, 1] == pytest.approx(-2) and z[4, 4, 6] == pytest.approx(-1)


def test_places_are_learned_where_healthy_scans_exist():
    for modality in (Modality.T1, Modality.FLAIR):
        usual = normative_maps(modality)
        assert usual is not None and usual.sd.array.min() >= 1 and 0.3 < usual.mean.array.max() < 3
    assert normative_maps(Modality.T2) is None and normative_maps(Modality.T1C) is None


def test_the_limbic_lobe_is_expected_to_be_brighter_on_flair_than_white_matter():
    usual = normative_maps(Modality.FLAIR)
    assert usual is not None

    def at(r: float, a: float, s: float) -> float:
        i, j, k = (np.linalg.inv(usual.mean.affine) @ [r, a, s, 1])[:3].round().astype(int)
        return float(usual.mean.array[k, j, i])

    assert at(-38, 2, 0) > 0.5 and at(38, 2, 0) > 0.5
    assert at(-25, -20, 32) < at(-38, 2, 0) - 0.25


def test_real_and_synthetic_healthy_scans_count_half_each_where_real_ones_are_few():
    build = pytest.importorskip("training.release.exceedance")
    one, other = np.full(3, 4.0), np.full(3, 2.0)
    assert build.healthy_volume({"real": [one], "synthetic": [other] * 20}) == pytest.approx(3.0)
    assert build.healthy_volume(
        {"real": [one] * build.ENOUGH, "synthetic": [other] * 20}
    ) == pytest.approx(4.0)
    assert build.healthy_volume({"real": [], "synthetic": [other]}) == pytest.approx(2.0)


def test_a_set_that_no_real_scan_shows_is_no_rarer_than_its_largest_subset_that_one_does():
    build = pytest.importorskip("training.release.exceedance")
    volumes = {
        "flair": np.array([5.0]),
        "flair+t2": np.array([3.0]),
        "flair+t1+t2": np.array([1.0]),
        "t1+t2": np.array([2.0]),
    }
    found = build.bounded(volumes, {"flair", "flair+t2"})
    assert {k: float(v[0]) for k, v in found.items()} == {
        "flair": 5,
        "flair+t2": 3,
        "flair+t1+t2": 3,
        "t1+t2": 2,
    }


def test_of_two_subsets_as_large_as_each_other_both_count():
    build = pytest.importorskip("training.release.exceedance")
    volumes = {
        "t1": np.array([3.0, 1.0]),
        "t2": np.array([2.0, 2.0]),
        "t1+t2": np.array([1.0, 1.0]),
    }
    assert build.bounded(volumes, {"t1", "t2"})["t1+t2"].tolist() == [3, 2]
    assert build.bounded(volumes, {"t1", "t2", "t1+t2"})["t1+t2"].tolist() == [1, 1]


def sides(
    order: tuple[int, ...], signs: tuple[int, ...], spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World coordinates (3, k, j, i) of a grid about the middle of the template, its affine, and an ellipsoid brain."""
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
    found = asymmetry(deviation, brain, affine, np.eye(4))
    core = np.square(x - side * 30) + np.square(y - 25) + z**2 < 5**2
    twin = np.square(x + side * 30 + 1) + np.square(y - 25) + z**2 < 5**2
    assert found[core].min() > 4 and found[twin].max() < -4 and found[both].max() < 1
    assert not found[~brain].any()
    moved = np.eye(4)
    moved[:3, 3] = (12, -5, 3)
    there = affine.copy()
    there[:3, 3] += moved[:3, 3]
    assert np.abs(asymmetry(deviation, brain, there, moved) - found).max() < 1e-3


def test_a_symmetric_brain_that_is_a_little_crooked_has_no_asymmetry():
    (x, y, z), affine, brain = sides((0, 1, 2), (1, 1, 1), 2.5)
    crooked = np.square(np.abs(x - 1.0) - 20) + np.square(y + 0.05 * x) + z**2 < 9**2
    found = asymmetry(5 * crooked.astype(np.float32), brain, affine, np.eye(4))
    assert found.max() < 1.5
