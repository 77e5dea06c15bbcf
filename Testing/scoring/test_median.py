"""The network of comparators gives the median of SimpleITK, and of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from BrainSSLAnomalyLib.scoring.median import median_of_27


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 3, 3), (9, 12, 15)])
@pytest.mark.parametrize("digits", [0, 6])
def test_the_median_is_that_of_simpleitk_also_with_many_equal_values(shape, digits):
    rng = np.random.default_rng(0)
    for _ in range(5):
        array = rng.standard_normal(shape).round(digits).astype(np.float32)
        expected = sitk.GetArrayFromImage(sitk.Median(sitk.GetImageFromArray(array), [1, 1, 1]))
        assert np.array_equal(median_of_27(array), expected)


def test_every_order_of_27_values_has_its_middle_one_found():
    """A network sorts everything if it sorts every pattern of 0 and 1; random ones here."""
    rng = np.random.default_rng(1)
    for ones in range(28):
        for _ in range(20):
            array = rng.permutation(np.arange(27) < ones).reshape(3, 3, 3).astype(np.float32)
            assert median_of_27(array)[1, 1, 1] == (ones >= 14)
