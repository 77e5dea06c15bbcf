"""Whole synthetic patients, drawn from label maps: what the fusion is fitted on, thresholds are chosen on and the ablation measures.

A third is healthy, a third has small white-matter lesions, a third one large lesion; lesions of any strength, heads with and without
skull, slices of 1 to 5 mm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume

from ..data.files import DATA, load
from .implanted import draw_implanted_patient
from .scans import draw_lesions, draw_scan, draw_tissues, make_hyperintensity, add_penumbra

Case = tuple[Callable[[int], tuple[Study, Volume | None]], int]
"""What draws a study and its lesions from a seed, and the seed: light enough to be sent to another process."""

HELD_OUT, MAPS = 3, 20
"""Label maps that training never saw are the last ones."""


def held_out_seeds(first: int) -> Iterator[int]:
    """Seeds from ``first`` on of patients whose label maps training never saw."""
    return (seed for seed in count(first) if seed % MAPS >= MAPS - HELD_OUT)


def held_out_cases(
    first_patient: int, patients: int, first_implant: int, implants: int
) -> list[Case]:
    """So many synthetic patients that training never saw, then so many real healthy scans with lesions put in, from these seeds on."""
    seeds = islice(held_out_seeds(first_patient), patients)
    return [
        *((draw_patient, seed) for seed in seeds),
        *((draw_implanted_patient, first_implant + n) for n in range(implants)),
    ]


def draw_patient(seed: int) -> tuple[Study, Volume | None]:
    """A synthetic patient, and the lesions as a soft mask or None.

    Args:
        seed: its remainder by 3 gives the kind (healthy, small lesions, a large one), that by `MAPS` the label map.
    """
    rng = np.random.default_rng(seed)
    maps = sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))
    labels, order = load(maps[seed % len(maps)]), (Modality.FLAIR, Modality.T2, Modality.T1)
    strength, drawing = rng.uniform(0.45, 1.1), int(rng.integers(1 << 30))
    if seed % 3 == 0:
        drawn, lesions = draw_scan(labels, order, np.random.default_rng(drawing)), None
    else:
        tissues, affine = draw_tissues(labels, np.random.default_rng(drawing))
        mask = draw_lesions(tissues, rng, large=seed % 3 == 2)
        shown = add_penumbra(mask, tissues == Tissue.WHITE + 1, (1.0, 1.0, 1.0), rng)
        drawn = draw_scan(
            labels,
            order,
            np.random.default_rng(drawing),
            change=make_hyperintensity(shown, strength, rng),
        )
        lesions = Volume(mask, affine)
    return Study({m: Scan(v, m, f"synthetic {seed}") for m, v in drawn.scans.items()}), lesions
