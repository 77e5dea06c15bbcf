"""Settings survive JSON, and refuse what is out of range."""

from __future__ import annotations

import json

import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.records import detection_from_dict, segmentation_from_dict, to_dict
from BrainSSLAnomalyLib.core.settings import (
    T1_THRESHOLD,
    DetectionSettings,
    DetectorName,
    MorphologySettings,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
    default_segmentation,
)
from BrainSSLAnomalyLib.core.study import Modality
from hypothesis import given
from hypothesis import strategies as st

unit = st.floats(0, 1)
radii = st.floats(0, 4)


def test_t1_alone_begins_regions_at_a_higher_level():
    for modalities in ([Modality.T1], [Modality.T1C], [Modality.T1, Modality.T1C]):
        assert default_segmentation(modalities).threshold.threshold == T1_THRESHOLD
    for modalities in (
        [],
        [Modality.FLAIR],
        [Modality.T2],
        [Modality.T1, Modality.T2],
        [Modality.FLAIR, Modality.T1],
    ):
        assert default_segmentation(modalities) == SegmentationSettings()


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
        (lambda: MorphologySettings(opening_mm=-1), "the opening is -1"),
        (lambda: MorphologySettings(min_volume_ml=1e6), "smallest finding"),
        (lambda: segmentation_from_dict({"threshold": {"nonsense": 1}}), "nonsense"),
        (
            lambda: segmentation_from_dict({"threshold": {"method": "magic"}}),
            r"threshold\.method",
        ),
        (
            lambda: segmentation_from_dict({"threshold": {"threshold": "high"}}),
            r"threshold\.threshold",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(make, words):
    with pytest.raises(BadSettings, match=words):
        make()


def test_detection_settings_survive_json():
    settings = DetectionSettings(correct_bias=False)
    assert detection_from_dict(json.loads(json.dumps(to_dict(settings)))) == settings
    for wrong in ({"detector": "oracle"}, {"colour": 1}, {"correct_bias": "no"}):
        with pytest.raises(BadSettings):
            detection_from_dict(wrong)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DetectionSettings("statisical"), "detector is 'statisical'"),
        (lambda: DetectionSettings(anatomy="atls"), "atls"),
        (lambda: DetectionSettings(device="tpu"), "choose one of auto, cpu, cuda"),
        (lambda: DetectionSettings(test_time="yes"), "True or False"),
        (lambda: ThresholdSettings(method="foo"), "foo"),
        (lambda: ThresholdSettings(threshold="0.5"), "threshold is '0.5'"),
        (lambda: ThresholdSettings(threshold=None), "threshold is None"),
        (lambda: MorphologySettings(fill_holes=1), "True or False"),
    ],
)
def test_a_setting_of_another_kind_is_refused_when_it_is_made(make, words):
    with pytest.raises(BadSettings, match=words):
        make()


def test_the_name_of_a_choice_is_the_choice():
    assert DetectionSettings("statistical") == DetectionSettings(DetectorName.STATISTICAL)
    assert DetectionSettings("statistical").detector is DetectorName.STATISTICAL
    assert ThresholdSettings("otsu").method is ThresholdMethod.OTSU
