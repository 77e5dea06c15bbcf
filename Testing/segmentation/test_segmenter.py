"""The live half: thresholds, morphology in millimetres, findings in a radiologist's words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import Region, Zone
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.results import Deviation
from BrainSSLAnomalyLib.core.settings import (
    T1_THRESHOLD,
    MorphologySettings,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
    default_segmentation,
    segmentation_from_dict,
    to_dict,
)
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.segmentation import Segmenter, morphology, segment, thresholds
from BrainSSLAnomalyLib.segmentation.findings import certainty, place
from BrainSSLAnomalyLib.segmentation.segmenter import scan_score
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detections import make_detection

HALF = SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.3))
SPACING = (2.0, 1.0, 0.5)
unit = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)
radii = st.floats(0, 4)


def some_scores(
    seed: int, shape: tuple[int, int, int] = (9, 14, 16)
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth scores 0–1 and a brain."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.random(shape), 1.2)
    score = (score - score.min()) / np.ptp(score)
    brain = ndimage.binary_dilation(rng.random(shape) > 0.97, iterations=3)
    return score.astype(np.float32), brain


def some_mask(seed: int) -> tuple[np.ndarray, np.ndarray]:
    score, brain = some_scores(seed)
    return (score > 0.6) & brain, brain


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
    from scipy import ndimage

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


@given(seeds, radii)
def test_opening_shrinks_closing_grows_and_both_are_idempotent(seed, radius):
    mask, _ = some_mask(seed)
    opened, closed = (
        morphology.opened(mask, radius, SPACING),
        morphology.closed(mask, radius, SPACING),
    )
    assert not (opened & ~mask).any() and not (mask & ~closed).any()
    assert np.array_equal(morphology.opened(opened, radius, SPACING), opened)
    assert np.array_equal(morphology.closed(closed, radius, SPACING), closed)


@given(seeds, radii)
def test_erosion_is_the_dilation_of_the_background(seed, radius):
    mask, _ = some_mask(seed)
    padded = np.pad(mask, 10)
    assert np.array_equal(
        morphology.eroded(padded, radius, SPACING),
        ~morphology.dilated(~padded, radius, SPACING) & padded,
    )


@given(seeds, st.tuples(*[st.integers(0, 4)] * 3))
def test_dilation_is_that_of_scipy_with_the_same_ellipsoid(seed, radii_ijk):
    from scipy import ndimage

    mask, _ = some_mask(seed)
    ri, rj, rk = radii_ijk
    k, j, i = np.indices((2 * rk + 1, 2 * rj + 1, 2 * ri + 1))
    ball = ((k - rk) / max(rk, 1)) ** 2 + ((j - rj) / max(rj, 1)) ** 2 + (
        (i - ri) / max(ri, 1)
    ) ** 2 <= 1 + 1e-6
    spacing = tuple(12.0 / r if r else 13.0 for r in (rk, rj, ri))
    assert np.array_equal(
        morphology.dilated(mask, 12.0, spacing), ndimage.binary_dilation(mask, ball)
    )


@given(seeds)
def test_filling_holes_is_that_of_scipy(seed):
    from scipy import ndimage

    mask, _ = some_mask(seed)
    shell = mask ^ ndimage.binary_erosion(mask)
    assert np.array_equal(morphology.filled(shell), ndimage.binary_fill_holes(shell))


def test_a_radius_is_in_millimetres_whatever_the_voxels():
    dot = np.zeros((21, 41, 81), bool)
    dot[10, 20, 40] = True
    k, j, i = np.nonzero(morphology.dilated(dot, 4.0, SPACING))
    assert (np.ptp(k) * 2.0, np.ptp(j) * 1.0, np.ptp(i) * 0.5) == (8.0, 8.0, 8.0)


def test_thick_slices_are_not_joined_by_a_small_radius():
    dot = np.zeros((5, 9, 9), bool)
    dot[2, 4, 4] = True
    grown = morphology.dilated(dot, 2.0, (5.0, 1.0, 1.0))
    assert grown[2].sum() > 1 and not grown[[1, 3]].any()


@given(seeds, st.floats(0, 0.1))
def test_what_remains_is_at_least_the_smallest_finding(seed, smallest):
    from scipy import ndimage

    mask, _ = some_mask(seed)
    kept = morphology.without_small(mask, smallest, 0.001)
    labels, count = ndimage.label(kept, np.ones((3, 3, 3)))
    assert not (kept & ~mask).any()
    assert all((labels == n).sum() * 0.001 >= smallest - 1e-9 for n in range(1, count + 1))


def test_holes_are_filled_only_where_no_path_leads_out():
    shell = np.zeros((9, 9, 9), bool)
    shell[2:7, 2:7, 2:7] = True
    shell[4, 4, 4] = False
    assert morphology.filled(shell)[4, 4, 4]
    shell[4, 4, 4:] = False
    assert not morphology.filled(shell)[4, 4, 4]


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


def test_the_made_lesion_becomes_one_finding_that_is_described_as_it_was_made(detection):
    found = segment(detection, HALF)
    assert len(found.findings) == 1
    finding = found.findings[0]
    assert finding.volume_ml == pytest.approx(4 / 3 * np.pi * 9**3 / 1000, rel=0.25)
    assert finding.centroid_ras == pytest.approx((-24, 30, 15), abs=1.5)
    assert finding.extent_ras == pytest.approx((18, 18, 18), abs=6)
    assert finding.place == "left frontal lobe, deep white matter"
    assert finding.deviations[0].words.startswith("brighter than healthy on FLAIR, +6.")
    assert finding.deviations[1].words.startswith("darker than healthy on T1, −3.")
    assert finding.certainty == "high"
    assert np.array_equal(found.mask, found.labels > 0)
    assert (
        found.region_scores["left frontal lobe"] > 0.9 > found.region_scores["right frontal lobe"]
    )


def test_findings_are_numbered_by_their_peak_and_labels_follow():
    detection = make_detection()
    score = detection.anomaly_score.copy()
    score[20:23, 20:23, 40:43] = 0.99
    score[30, 50, 20:22] = 0.7
    score *= detection.brain_mask
    found = segment(replace(detection, anomaly_score=score), HALF)
    peaks = [f.peak_score for f in found.findings]
    assert peaks == sorted(peaks, reverse=True) and len(peaks) == 3
    for finding in found.findings:
        piece = found.labels == finding.number
        assert piece.sum() * detection.reference.voxel_ml == pytest.approx(finding.volume_ml)
        assert score[piece].max() == pytest.approx(finding.peak_score)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(unit, unit, st.floats(0, 6), st.floats(0, 1)), min_size=2, max_size=5))
def test_the_mask_depends_on_the_settings_alone_never_on_what_was_asked_before(moves):
    detection = make_detection((24, 28, 24), 7.0)
    live = Segmenter(detection)
    for a, b, radius, smallest in moves:
        chosen = SegmentationSettings(
            ThresholdSettings(threshold=max(a, b), low=min(a, b)),
            MorphologySettings(dilation_mm=radius, min_volume_ml=smallest),
        )
        live.mask(chosen)
    fresh = segment(detection, chosen)
    assert np.array_equal(live.mask(chosen), fresh.mask)
    assert live.segment(chosen).findings == fresh.findings


def test_an_empty_brain_gives_no_findings():
    detection = make_detection((24, 28, 24), 7.0)
    empty = replace(
        detection,
        brain_mask=np.zeros_like(detection.brain_mask),
        anomaly_score=np.zeros_like(detection.anomaly_score),
    )
    found = segment(empty, SegmentationSettings())
    assert not found.mask.any() and found.findings == () and found.scan_score == 0


def test_places_are_said_as_radiologists_say_them():
    def said(zone: Zone, *regions: Region, ml: float = 1.0) -> str:
        zones, counts = np.zeros(256, int), np.zeros(256, int)
        zones[zone] = 100
        for region in regions:
            counts[region] = 100 // len(regions)
        return place(counts, zones, ml)

    assert said(Zone.PERIVENTRICULAR, Region.LEFT_FRONTAL) == "left frontal lobe, periventricular"
    assert said(Zone.BRAINSTEM, Region.RIGHT_BRAINSTEM) == "right brainstem, infratentorial"
    assert said(Zone.DEEP_GREY, Region.LEFT_THALAMUS) == "left thalamus, deep grey matter"
    assert said(Zone.JUXTACORTICAL, Region.RIGHT_PARIETAL) == "right parietal lobe, juxtacortical"
    assert (
        said(Zone.DEEP_WHITE, Region.LEFT_FRONTAL, Region.LEFT_PARIETAL)
        == "left frontal lobe and left parietal lobe, deep white matter"
    )
    assert said(Zone.DEEP_WHITE, Region.LEFT_FRONTAL, ml=40) == "left frontal lobe"
    assert said(Zone.DEEP_WHITE, Region.OUTSIDE) == "brain"


def test_words_and_certainty():
    assert Deviation(Modality.T1, 0.3).words == "like healthy on T1, +0.3 SD"
    assert (certainty(0.99, 1.0), certainty(0.9, 1.0), certainty(0.99, 0.01)) == (
        "high",
        "moderate",
        "low",
    )


def test_the_scan_score_is_what_a_tenth_of_a_millilitre_reaches():
    scores = np.zeros(1000, np.float32)
    scores[:99] = 0.9
    assert scan_score(scores, 0.001) == 0
    scores[99] = 0.8
    assert scan_score(scores, 0.001) == pytest.approx(0.8)


def test_t1_alone_begins_regions_at_a_higher_level():
    for seen in ([Modality.T1], [Modality.T1C], [Modality.T1, Modality.T1C]):
        assert default_segmentation(seen).threshold.threshold == T1_THRESHOLD
    for seen in (
        [],
        [Modality.FLAIR],
        [Modality.T2],
        [Modality.T1, Modality.T2],
        [Modality.FLAIR, Modality.T1],
    ):
        assert default_segmentation(seen) == SegmentationSettings()


@given(st.sampled_from(list(ThresholdMethod)), unit, unit, st.floats(0, 100), radii, st.booleans())
def test_settings_survive_json(method, a, b, percent, radius, fill):
    chosen = SegmentationSettings(
        ThresholdSettings(method, max(a, b), min(a, b), percent),
        MorphologySettings(opening_mm=radius, fill_holes=fill),
    )
    assert segmentation_from_dict(to_dict(chosen)) == chosen


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ThresholdSettings(threshold=1.2), "the threshold is 1.2"),
        (lambda: ThresholdSettings(threshold=float("nan")), "nan"),
        (lambda: ThresholdSettings(threshold=0.2, low=0.5), "above the threshold"),
        (lambda: ThresholdSettings(percentile=101), "percentile"),
        (lambda: MorphologySettings(opening_mm=-1), "opening radius"),
        (lambda: MorphologySettings(min_volume_ml=1e6), "smallest finding"),
        (lambda: segmentation_from_dict({"threshold": {"nonsense": 1}}), "nonsense"),
        (lambda: segmentation_from_dict({"threshold": {"method": "magic"}}), "magic"),
        (lambda: segmentation_from_dict({"threshold": {"threshold": "high"}}), "high|str"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(make, words):
    with pytest.raises(BadSettings, match=words):
        make()


@pytest.mark.parametrize("method", list(ThresholdMethod), ids=lambda m: m.value)
def test_nothing_below_the_level_of_a_method_is_marked(detection, method):
    cut = ThresholdSettings(method=method)
    live = Segmenter(detection)
    marked = live.mask(
        SegmentationSettings(cut, MorphologySettings(closing_mm=0, fill_holes=False))
    )
    assert not marked[detection.anomaly_score < live.level(cut) - 1e-6].any()
