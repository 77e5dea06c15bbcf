"""How fast is the live half on a 1 mm volume of 182×218×182? Run by ``make benchmark``.

Aims on two cores, medians: a new mask after one threshold moved within 50 ms, mask with components
and findings within 250 ms.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, cycle

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import (
    MorphologySettings,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.segmentation import Segmenter
from scipy import ndimage
from support.detections import make_detection


@pytest.fixture(scope="module")
def live() -> Segmenter:
    """A brain with one large lesion and some hundred small ones."""
    detection = make_detection((182, 218, 182), 1.0)
    noise = ndimage.gaussian_filter(
        np.random.default_rng(0).standard_normal(detection.brain_mask.shape).astype(np.float32), 2.0
    )
    noise /= noise.std()
    score = (
        np.maximum(detection.anomaly_score, 1 / (1 + np.exp(-4 * (noise - 2.6))))
        * detection.brain_mask
    )
    return Segmenter(replace(detection, anomaly_score=score.astype(np.float32)))


@pytest.mark.parametrize("method", list(ThresholdMethod), ids=lambda m: m.value)
def test_mask_after_the_threshold_moved(benchmark, live, method):
    moves = cycle(
        [
            SegmentationSettings(ThresholdSettings(method, 0.6 + d, 0.3, 99 + d, 5 + d))
            for d in (0, 0.05, 0.1, 0.15)
        ]
    )
    benchmark(lambda: live.mask(next(moves)))


@pytest.mark.parametrize("step", ["opening_mm", "closing_mm", "dilation_mm", "erosion_mm"])
def test_mask_with_morphology(benchmark, live, step):
    moves = cycle(
        [
            SegmentationSettings(ThresholdSettings(threshold=t), MorphologySettings(**{step: 2.0}))
            for t in (0.6, 0.7)
        ]
    )
    benchmark(lambda: live.mask(next(moves)))


def test_mask_and_findings(benchmark, live):
    moves = cycle(
        [SegmentationSettings(ThresholdSettings(threshold=t)) for t in (0.6, 0.65, 0.7, 0.75)]
    )
    found = benchmark(lambda: live.segment(next(moves)))
    assert len(found.findings) > 50, len(found.findings)


def test_opening_a_detection(benchmark):
    detection = make_detection((182, 218, 182), 1.0)
    numbers = count()
    benchmark(lambda: Segmenter(replace(detection, scan_p_value=float(next(numbers)))))
