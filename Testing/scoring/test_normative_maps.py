"""What is usual at a place is learned from healthy people."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.scoring.normative_maps import NormativeMaps, normative_maps


def test_a_place_that_is_usually_dark_needs_to_be_darker_to_count():
    affine = np.diag([2.0, 2, 2, 1])
    mean = np.zeros((8, 8, 8), np.float32)
    mean[:, :, 4:] = -2
    usual = NormativeMaps(Volume(mean, affine), Volume(np.full((8, 8, 8), 2.0, np.float32), affine))
    z = usual.standardise(np.full((8, 8, 8), -4.0, np.float32), Grid((8, 8, 8), affine), np.eye(4))
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
