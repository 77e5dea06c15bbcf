"""Synthetic patients from label maps that training never drew from.

The fusion is fitted on them, thresholds are chosen on them, and the ablation measures on them. A
third is healthy, a third has small white-matter lesions, a third one large lesion; lesions of any
strength, heads with and without skull, slices of 1 to 5 mm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, islice

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume

from ..data.files import DATA, load
from .implanted import draw_implanted_patient
from .scans import add_penumbra, draw_lesions, draw_scan, draw_tissues, make_hyperintensity

Case = tuple[Callable[[int], tuple[Study, Volume | None]], int]
"""A function that draws a study and its lesions from a seed, and the seed: light enough to be sent
to another process.
"""

HELD_OUT, MAPS = 3, 20
"""Label maps that are held out of training are the last ones."""


def held_out_seeds(first: int) -> Iterator[int]:
    """Yield the seeds from ``first`` on whose label maps are held out of training."""
    return (seed for seed in count(first) if seed % MAPS >= MAPS - HELD_OUT)


def held_out_cases(
    first_patient: int, patients: int, first_implant: int, implants: int
) -> list[Case]:
    """List synthetic patients from held-out label maps, then real scans with implanted lesions.

    Args:
        first_patient: first seed of the patients.
        patients: how many.
        first_implant: first seed of the scans with implanted lesions.
        implants: how many.
    """
    seeds = islice(held_out_seeds(first_patient), patients)
    return [
        *((draw_patient, seed) for seed in seeds),
        *((draw_implanted_patient, first_implant + n) for n in range(implants)),
    ]


def draw_patient(seed: int) -> tuple[Study, Volume | None]:
    """Draw a synthetic patient.

    Args:
        seed: its remainder by 3 gives the kind (healthy, small lesions, a large one), that by
            `MAPS` the label map.

    Returns:
        The study, and the lesions as a soft mask or None.
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
