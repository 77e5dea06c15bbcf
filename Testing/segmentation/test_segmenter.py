"""The live half: mask and findings follow from the settings alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import (
    MorphologySettings,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.segmentation import Segmenter, segment
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detections import make_detection

HALF = SegmentationSettings(ThresholdSettings(threshold=0.5, low=0.3))
unit = st.floats(0, 1)


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
    assert finding.confidence == "high"
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


@pytest.mark.parametrize("method", list(ThresholdMethod), ids=lambda m: m.value)
def test_nothing_below_the_level_of_a_method_is_marked(detection, method):
    cut = ThresholdSettings(method=method)
    live = Segmenter(detection)
    marked = live.mask(
        SegmentationSettings(cut, MorphologySettings(closing_mm=0, fill_holes=False))
    )
    assert not marked[detection.anomaly_score < live.lowest_level(cut) - 1e-6].any()
