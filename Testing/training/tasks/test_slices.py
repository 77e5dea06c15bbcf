"""Slices are as wide as the detector finds them, and what is excluded is left out."""

from __future__ import annotations

import pytest
from support.packages import need_network

need_network()

from support.training_heads import ball_brain, seeded

from training.tasks.slices import GAIN, SHIFT, widen


@pytest.mark.parametrize("seed", range(4))
def test_healthy_and_changed_scans_are_widened_alike_within_the_brain(seed):
    patient = ball_brain()
    changed = patient.images + 2.0 * patient.inside
    wide, other = widen((patient.images, changed), patient.inside, seeded(seed))
    assert not wide[:, ~patient.inside].any() and not other[:, ~patient.inside].any()
    for before, after, apart in zip(patient.images, wide, other - wide, strict=True):
        gain = float(after[patient.inside].std() / before[patient.inside].std())
        assert (
            GAIN[0] <= gain <= GAIN[1]
            and abs(float((after - gain * before)[patient.inside].mean())) < 5 * SHIFT
        )
        assert float((apart[patient.inside] - 2 * gain).abs().max()) < 1e-3, (
            "a lesion is widened, too"
        )
