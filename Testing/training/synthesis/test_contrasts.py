"""Sequences differ in the brightness of their tissues."""

from __future__ import annotations

from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.core.anatomy import Tissue
from support.training_heads import seeded

from training.synthesis.generator import (
    GeneratorSettings,
)

SMALL = GeneratorSettings(shape=(40, 48, 40), spacing=2.0, shift_mm=3.0, stripped=0.0)

T1, T2, FLAIR = SMALL.modalities


def test_sequences_differ_in_how_far_grey_and_fluid_lie_from_white():
    from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS

    from training.synthesis.contrasts import GREY_FROM_WHITE, draw_tissue_means

    means = draw_tissue_means((T1, FLAIR), 400, seeded(3))
    assert means.shape == (400, 2, len(Tissue)) and float(means.min()) > 0
    apart = means[:, 0, Tissue.WHITE] - means[:, 0, Tissue.CORTEX]
    typical = TISSUE_BRIGHTNESS[T1][Tissue.WHITE] - TISSUE_BRIGHTNESS[T1][Tissue.CORTEX]
    assert (
        float(apart.quantile(0.05)) < 0.45 * typical
        and float(apart.quantile(0.95)) > 1.25 * typical
    )
    assert abs(float(apart.median()) / typical - sum(GREY_FROM_WHITE) / 2) < 0.1
    darker = means[:, 0, Tissue.VENTRICLE] < means[
        :, 0, [Tissue.WHITE, Tissue.CORTEX, Tissue.THALAMUS]
    ].amin(1)
    assert darker.all(), "fluid is the darkest inside the skull on T1, on every scanner"
