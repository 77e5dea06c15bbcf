"""The effects of a scanner are what their names say."""

from __future__ import annotations

import pytest
from support.packages import need_network

torch = need_network()

from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_heads import seeded

from training.synthesis import acquisition
from training.synthesis.generator import (
    GeneratorSettings,
)

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)

T1, T2, FLAIR = SMALL.modalities


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(2.0, 8.0))
def test_thick_slices_keep_the_mean_and_only_smooth(seed, thickest):
    image = torch.rand((1, 2, 24, 24, 24), generator=seeded(seed))
    cut = acquisition.draw_slicings(
        1, 2, image.shape[2:], seeded(seed), spacing=1.0, thickest_mm=thickest, share=1.0
    )
    assert all(
        slicing is not None and 24 / thickest - 1 <= slicing.slices <= 24 for slicing in cut[0]
    )
    out = acquisition.acquire_slices(image, cut)
    assert torch.allclose(out.mean((2, 3, 4)), image.mean((2, 3, 4)), atol=0.03)
    assert (out.std((2, 3, 4)) <= image.std((2, 3, 4)) + 1e-4).all()


def test_a_change_goes_through_thick_slices_as_the_whole_scan_does():
    image, change = (
        torch.rand((1, 2, 24, 24, 24), generator=seeded(0)),
        torch.rand((1, 2, 24, 24, 24), generator=seeded(1)),
    )
    cut = [[acquisition.Slicing(0, 6), None]]
    both = acquisition.acquire_slices(image + change, cut)
    assert torch.allclose(
        both,
        acquisition.acquire_slices(image, cut) + acquisition.acquire_slices(change, cut),
        atol=1e-5,
    )
    assert torch.equal(both[:, 1], (image + change)[:, 1]) and not torch.equal(
        both[:, 0], (image + change)[:, 0]
    )


def test_ghosts_and_motion_change_a_scan_and_zero_shares_do_not():
    image = torch.rand((2, 2, 24, 24, 24), generator=seeded(0))
    for step in (acquisition.add_ghosts, acquisition.add_motion):
        assert torch.equal(step(image, seeded(1), share=0.0), image)
        assert not torch.equal(step(image, seeded(1), share=1.0), image)


def test_blur_keeps_the_inner_mean_and_zero_width_changes_nothing():
    image = torch.zeros((1, 1, 15, 15, 15))
    image[0, 0, 7, 7, 7] = 1
    assert float(acquisition.blur(image, torch.full((1, 1), 0.8)).sum()) == pytest.approx(
        1, abs=1e-5
    )
    assert torch.allclose(acquisition.blur(image, torch.zeros((1, 1))), image, atol=1e-6)
