"""Predictions of slices come back in their place."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.network.channels import CHANNELS
from BrainSSLAnomalyLib.network.engine import SliceOutput
from BrainSSLAnomalyLib.network.inference import (
    IDENTITY,
    MARGIN,
    MIRROR,
    TEST_TIME,
    brain_window,
    predict_volume,
    upsample,
)
from hypothesis import given
from hypothesis import strategies as st

PRESENT = np.ones(len(CHANNELS), np.float32)


class Echo:
    """An engine that gives back what it gets."""

    multiple = 2

    def predict(self, slices, present):
        patches = slices[:, :, ::2, ::2]
        return SliceOutput(slices, slices[:, :1], patches, np.ones((len(slices), 4), np.float32))


@pytest.fixture
def volume():
    return np.random.default_rng(0).standard_normal((len(CHANNELS), 5, 6, 7)).astype(np.float32)


@pytest.mark.parametrize(
    ("axes", "augmentations"), [((0,), (IDENTITY,)), ((0, 1, 2), (IDENTITY, MIRROR))]
)
def test_slices_come_back_in_their_place_in_every_orientation(volume, axes, augmentations):
    predicted = predict_volume(
        Echo(),
        volume,
        PRESENT,
        axes,
        augmentations=augmentations,
        batch=2,  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(predicted.reconstruction, volume, atol=1e-5)
    np.testing.assert_allclose(predicted.anomaly, volume[0], atol=1e-5)
    assert predicted.spread.max() < 1e-2
    assert np.linalg.norm(predicted.embedding) == pytest.approx(1)


def test_different_predictions_have_a_spread(volume):
    predicted = predict_volume(Echo(), volume, PRESENT, (0,), augmentations=TEST_TIME)  # type: ignore[arg-type]
    assert predicted.spread.max() > 0.01


def test_only_present_modalities_are_kept(volume):
    present = np.array([0, 0, 0, 1, 0], np.float32)
    predicted = predict_volume(Echo(), volume, present, (0,))  # type: ignore[arg-type]
    assert predicted.reconstruction.shape == (1, 5, 6, 7)
    np.testing.assert_allclose(predicted.reconstruction[0], volume[3], atol=1e-6)


def test_progress_rises_to_the_end_and_may_stop_the_prediction(volume):
    seen: list[float] = []
    predict_volume(Echo(), volume, PRESENT, (0, 1), batch=2, progress=seen.append)  # type: ignore[arg-type]
    assert seen == sorted(seen) and seen[-1] == 1

    class Stop(Exception):
        pass

    def stop(_fraction):
        raise Stop

    with pytest.raises(Stop):
        predict_volume(Echo(), volume, PRESENT, (0,), progress=stop)  # type: ignore[arg-type]


def test_upsampling_is_linear_between_the_centres_of_patches_and_flat_beyond():
    coarse = np.array([[[[0.0, 4.0]]]], np.float32)
    fine = upsample(coarse, 4, (4, 7))
    np.testing.assert_allclose(fine[0, 0, 0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4], atol=1e-6)


@given(st.integers(5, 90), st.integers(5, 90), st.data())
def test_a_window_holds_the_brain_with_its_margin_in_whole_patches(height, width, data):
    j, i = (sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in (height, width))
    slices = np.zeros((2, 3, height, width), np.float32)
    slices[1, 2, j[0] : j[1] + 1, i[0] : i[1] + 1] = 1
    window = brain_window(slices, 16)
    for at, size, (first, last) in zip(window, (height, width), (j, i), strict=True):
        assert at.start >= 0 and at.stop <= size
        assert at.start <= max(0, first - MARGIN) and at.stop >= min(size, last + 1 + MARGIN)
        assert (at.stop - at.start) % 16 == 0 or at.stop - at.start == size


def test_a_small_brain_is_predicted_in_its_place_and_nothing_beside_it():
    volume = np.zeros((len(CHANNELS), 40, 60, 50), np.float32)
    volume[:, 10:20, 30:44, 5:20] = np.random.default_rng(0).random((10, 14, 15)) + 1
    predicted = predict_volume(Echo(), volume, PRESENT, (0, 1, 2))  # type: ignore[arg-type]
    np.testing.assert_allclose(predicted.reconstruction, volume, atol=1e-5)
