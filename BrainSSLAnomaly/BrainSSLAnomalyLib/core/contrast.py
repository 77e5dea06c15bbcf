"""The typical brightness of each tissue in each contrast, for everything that draws a brain."""

from __future__ import annotations

from collections.abc import Mapping

from .study import Modality

TISSUE_BRIGHTNESS: Mapping[Modality, tuple[float, ...]] = {
    # white, cortex, striatum, thalamus, ventricle, CSF, brainstem, cerebellar white matter,
    # cerebellar cortex, bone, soft tissue
    Modality.T1: (1.00, 0.68, 0.74, 0.86, 0.20, 0.20, 0.92, 0.95, 0.66, 0.25, 0.85),
    Modality.T1C: (0.98, 0.70, 0.77, 0.88, 0.22, 0.28, 0.92, 0.94, 0.70, 0.30, 0.95),
    Modality.T2: (0.55, 0.78, 0.68, 0.62, 1.60, 1.45, 0.60, 0.58, 0.78, 0.25, 0.70),
    Modality.FLAIR: (0.78, 1.00, 0.95, 0.88, 0.25, 0.30, 0.82, 0.80, 0.95, 0.20, 0.70),
    Modality.PD: (0.75, 0.95, 0.88, 0.85, 0.95, 0.95, 0.80, 0.78, 0.95, 0.25, 0.75),
}
"""Mean brightness in the order of `Tissue`, white matter on T1 being 1."""
