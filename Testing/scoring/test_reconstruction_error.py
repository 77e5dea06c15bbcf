"""Reconstruction errors have known values for known differences."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.scoring.reconstruction_error import (
    absolute_error,
    squared_error,
    structural_error,
)


def test_errors_of_a_perfect_reconstruction_are_zero_and_of_a_shift_are_known():
    image = np.random.default_rng(0).standard_normal((2, 12, 12, 12)).astype(np.float32)
    for measure in (absolute_error, squared_error, structural_error):
        assert np.abs(measure(image, image)).max() < 1e-6
    assert absolute_error(image, image + 3) == pytest.approx(np.full((12, 12, 12), 3), abs=1e-5)
    assert squared_error(image, image + 3) == pytest.approx(np.full((12, 12, 12), 9), abs=1e-4)


def test_structural_error_is_highest_where_structure_is_lost():
    image = np.random.default_rng(0).standard_normal((1, 24, 24, 24)).astype(np.float32) * 3
    flat = image.copy()
    flat[:, 8:16, 8:16, 8:16] = 0
    error = structural_error(image, flat)
    assert error[12, 12, 12] > 0.5 and abs(error[2, 2, 2]) < 1e-6
