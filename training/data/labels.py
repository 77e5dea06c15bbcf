"""What the label codes of the training data mean."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Region, Tissue
from numpy.typing import NDArray

FREESURFER_TISSUES: dict[Tissue, tuple[int, ...]] = {
    Tissue.WHITE: (2, 41, 77, 251, 252, 253, 254, 255),
    Tissue.CORTEX: (3, 42, 17, 53, 18, 54),
    Tissue.STRIATUM: (11, 50, 12, 51, 26, 58, 136, 137, 163, 164),
    Tissue.THALAMUS: (10, 49, 13, 52, 28, 60, 29),
    Tissue.VENTRICLE: (4, 43, 5, 44, 14, 15, 72, 31, 63),
    Tissue.CSF: (24, 25, 57, 30, 62, 85),
    Tissue.BRAINSTEM: (16,),
    Tissue.CEREBELLUM_WHITE: (7, 46),
    Tissue.CEREBELLUM_CORTEX: (8, 47),
    Tissue.BONE: (515, 516),
    Tissue.SOFT: (502, 506, 507, 508, 509, 511, 512, 514, 530, 165, 258, 259),
}
"""Tissue of the bundled anatomy → FreeSurfer and whole-head codes of the label maps."""

MUSE_LOBES: dict[str, tuple[int, ...]] = {
    "FRONTAL": (
        81,
        104,
        112,
        118,
        120,
        124,
        136,
        140,
        142,
        146,
        150,
        152,
        162,
        164,
        178,
        182,
        186,
        190,
        192,
        204,
    ),
    "PARIETAL": (85, 106, 148, 168, 174, 176, 194, 198),
    "TEMPORAL": (87, 116, 122, 132, 154, 170, 180, 184, 200, 202, 206),
    "OCCIPITAL": (83, 108, 114, 128, 134, 144, 156, 160, 196),
    "INSULA": (102, 172),
    "CINGULATE": (100, 138, 166),
    "CAUDATE": (36, 23),
    "LENTIFORM": (57, 55),
    "THALAMUS": (59, 61),
    "HIPPOCAMPUS": (47,),
    "AMYGDALA": (31,),
    "LATERAL_VENTRICLE": (51, 49),
    "CEREBELLUM": (38, 40),
}
"""MUSE codes of right-sided structures."""

_LEFT_TWIN = {36: 37, 23: 30, 31: 32, 38: 39, 40: 41, 76: 75}
"""Left twins; that of every other code is one above it."""

MUSE_MIDLINE = {Region.CORPUS_CALLOSUM: (95,), Region.THIRD_OR_FOURTH_VENTRICLE: (4, 11)}
MUSE_BRAINSTEM = 35
MUSE_CEREBELLUM_MIDLINE = (71, 72, 73)


def muse_pair_table(
    right: Mapping[str, tuple[int, ...]], names: type[IntEnum]
) -> NDArray[np.uint8]:
    """Create a lookup table (256,) from MUSE code to ``LEFT_…`` and ``RIGHT_…`` names, 0 elsewhere.

    Args:
        right: name without side → MUSE codes on the right.
        names: enumeration that has the names.
    """
    table = np.zeros(256, np.uint8)
    for name, codes in right.items():
        for code in codes:
            table[code] = names[f"RIGHT_{name}"]
            table[_LEFT_TWIN.get(code, code + 1)] = names[f"LEFT_{name}"]
    return table


def muse_region_table() -> NDArray[np.uint8]:
    """Create a lookup table (256,) from MUSE code to `Region`, 0 elsewhere.

    Brainstem and vermis are split by side later.
    """
    table = muse_pair_table(MUSE_LOBES, Region)
    for region, codes in MUSE_MIDLINE.items():
        table[list(codes)] = region
    return table


def freesurfer_tissue_table() -> NDArray[np.uint8]:
    """Create a lookup table (1000,) from FreeSurfer code to tissue + 1; 0 is background."""
    table = np.zeros(1000, np.uint8)
    for tissue, codes in FREESURFER_TISSUES.items():
        table[list(codes)] = tissue + 1
    return table
