"""Atrophy widens fluid spaces, within its limits."""

from __future__ import annotations

import numpy as np
from support.packages import need_network

torch = need_network()

from BrainSSLAnomalyLib.core.anatomy import Tissue
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training_heads import CODES, label_archive, seeded

from training.synthesis import atrophy
from training.synthesis.generator import (
    GeneratorSettings,
    ScanGenerator,
    sample_nearest,
)

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)

T1, T2, FLAIR = SMALL.modalities


def aged(seed: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """FreeSurfer codes of the head at its own place, before and after atrophy."""
    archive = label_archive()
    labels = torch.from_numpy(archive.maps[0])
    shape = [round(n / spacing) for n in labels.shape]
    axes = [(torch.arange(n) - (n - 1) / 2) * spacing for n in shape]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    tissues = ScanGenerator(archive, SMALL).tissue_of_label[sample_nearest(labels, place).long()]
    after = sample_nearest(
        labels, atrophy.widen_fluid_spaces(place, tissues, seeded(seed), spacing=spacing)
    )
    return CODES[sample_nearest(labels, place).numpy()], CODES[after.numpy()]


@given(st.integers(0, 1000), st.sampled_from([1.6, 2.0]))
@settings(deadline=None, max_examples=15)
def test_with_atrophy_ventricles_grow_and_the_brain_shrinks_and_everything_stays_on_its_side(
    seed, spacing
):
    before, after = aged(seed, spacing)
    ventricles, fluid, brain = (
        (4, 43),
        (4, 43, 24),
        (2, 3, 12, 41, 42, 51),
    )  # the cortex is moved rather than thinned
    for codes, grows in ((ventricles, True), (fluid, True), (brain, False)):
        old, young = np.isin(after, codes).sum(), np.isin(before, codes).sum()
        # Where hardly anything moves, voxels on an edge fall either way.
        assert old >= 0.97 * young if grows else old <= 1.03 * young
    left = np.isin(after, (2, 3, 4, 12)) & (np.arange(after.shape[2]) > after.shape[2] / 2 + 1)
    assert not left.any()


def test_atrophy_moves_the_edge_of_the_ventricle_by_no_more_than_it_says():
    from scipy import ndimage

    growth = []
    for seed in range(3):
        before, after = aged(seed, 1.0)
        away = ndimage.distance_transform_edt(~np.isin(before, (4, 43)))
        assert away[np.isin(after, (4, 43))].max() <= atrophy.WIDEST_MM[Tissue.VENTRICLE] + 2
        growth.append(np.isin(after, (4, 43)).sum() / np.isin(before, (4, 43)).sum())
    assert max(growth) > 1.5
