"""How bright each tissue is in each contrast, on the average scanner."""

from __future__ import annotations

from BrainSSLAnomalyLib.study import Modality

TYPICAL: dict[Modality, tuple[float, ...]] = {
    # white, cortex, striatum, thalamus, ventricle, csf, brainstem, cerebellar white, cerebellar cortex, bone, soft
    Modality.T1: (1.00, 0.68, 0.76, 0.88, 0.22, 0.24, 0.92, 0.95, 0.66, 0.25, 0.80),
    Modality.T2: (0.58, 0.80, 0.68, 0.62, 1.70, 1.50, 0.62, 0.58, 0.78, 0.20, 0.70),
    Modality.FLAIR: (0.80, 0.98, 0.94, 0.86, 0.22, 0.30, 0.84, 0.80, 0.93, 0.18, 0.75),
    Modality.T1C: (0.98, 0.70, 0.77, 0.88, 0.22, 0.28, 0.92, 0.94, 0.70, 0.30, 0.95),
    Modality.PD: (0.78, 0.96, 0.90, 0.86, 0.94, 0.92, 0.80, 0.78, 0.95, 0.20, 0.75),
}
"""Mean brightness of each tissue, white matter on T1 being 1."""
