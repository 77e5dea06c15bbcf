"""Random fields have the variance and reach that they should."""

from __future__ import annotations

from support.packages import need_network

torch = need_network()

from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_heads import seeded

from training.synthesis.noise import smooth_field, spread


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(1.0, 12.0))
def test_a_smooth_field_has_about_unit_variance(seed, scale):
    field = smooth_field(1, 4, (32, 40, 32), scale, seeded(seed))
    assert field.shape == (1, 4, 32, 40, 32) and 0.5 < float(field.std()) < 1.8


def test_spread_covers_the_mask_and_fades_at_its_radius():
    mask = torch.zeros((1, 1, 41, 41, 41))
    mask[0, 0, 20, 20, 20] = 1
    grown = spread(mask, 8)
    line = grown[0, 0, 20, 20]
    assert (
        float(line[20]) > 0.2 and float(line[:6].max()) == 0 and (line[22:35].diff() <= 1e-6).all()
    )
