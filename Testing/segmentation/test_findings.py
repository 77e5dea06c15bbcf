"""Findings are described in a radiologist's words."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Region, Zone
from BrainSSLAnomalyLib.core.results import Deviation
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.segmentation.findings import name_place, rate_confidence


def test_places_are_named_as_radiologists_name_them():
    def name(zone: Zone, *regions: Region, ml: float = 1.0) -> str:
        zones, counts = np.zeros(256, int), np.zeros(256, int)
        zones[zone] = 100
        for region in regions:
            counts[region] = 100 // len(regions)
        return name_place(counts, zones, ml)

    assert name(Zone.PERIVENTRICULAR, Region.LEFT_FRONTAL) == "left frontal lobe, periventricular"
    assert name(Zone.BRAINSTEM, Region.RIGHT_BRAINSTEM) == "right brainstem, infratentorial"
    assert name(Zone.DEEP_GREY, Region.LEFT_THALAMUS) == "left thalamus, deep grey matter"
    assert name(Zone.JUXTACORTICAL, Region.RIGHT_PARIETAL) == "right parietal lobe, juxtacortical"
    assert (
        name(Zone.DEEP_WHITE, Region.LEFT_FRONTAL, Region.LEFT_PARIETAL)
        == "left frontal lobe and left parietal lobe, deep white matter"
    )
    assert name(Zone.DEEP_WHITE, Region.LEFT_FRONTAL, ml=40) == "left frontal lobe"
    assert name(Zone.DEEP_WHITE, Region.OUTSIDE) == "brain"


def test_words_and_rate_confidence():
    assert Deviation(Modality.T1, 0.3).words == "like healthy on T1, +0.3 SD"
    assert (rate_confidence(0.99, 1.0), rate_confidence(0.9, 1.0), rate_confidence(0.99, 0.01)) == (
        "high",
        "moderate",
        "low",
    )
