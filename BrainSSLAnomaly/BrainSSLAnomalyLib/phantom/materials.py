"""What a head is made of, and how bright each material is in each contrast."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..core.contrast import TISSUE_BRIGHTNESS
from ..core.study import Modality


class Material(IntEnum):
    """Name what a voxel of a drawn head is made of.

    Codes 1 to 11 are those of `Tissue` + 1, so that a map of tissues is a map of materials too.
    """

    AIR = 0
    WHITE = 1
    CORTEX = 2
    STRIATUM = 3
    THALAMUS = 4
    VENTRICLE = 5
    CSF = 6
    BRAINSTEM = 7
    CEREBELLUM_WHITE = 8
    CEREBELLUM_CORTEX = 9
    BONE = 10  # compact and marrow
    SOFT = 11  # of a kind that is not known
    PLEXUS = 12
    PALLIDUM = 13
    LIMBIC = 14  # hippocampus and amygdala
    DURA = 15  # with the falx
    VEIN = 16  # with the sinuses
    ARTERY = 17
    NERVE = 18
    EYE = 19
    LENS = 20
    FAT = 21
    MUSCLE = 22
    SKIN = 23
    MUCOSA = 24
    MARROW = 25
    COMPACT_BONE = 26
    FISSURE = 27  # of the cerebellum, narrower than a voxel


FLUIDS = (Material.VENTRICLE, Material.CSF)

AIR_BRIGHTNESS = 0.005

BRIGHTNESS_OF_THE_REST: Mapping[Modality, tuple[float, ...]] = {
    # plexus, pallidum, limbic, dura, vein, artery, nerve,
    # eye, lens, fat, muscle, skin, mucosa, marrow,
    # compact bone, fissure
    Modality.T1: (
        *(0.52, 0.92, 0.68, 0.42, 0.36, 0.60, 0.70),
        *(0.20, 0.50, 1.18, 0.58, 0.74, 0.60, 0.48),
        *(0.06, 0.46),
    ),
    Modality.T2: (
        *(1.05, 0.50, 0.80, 0.60, 0.30, 0.15, 0.50),
        *(1.50, 0.40, 0.80, 0.28, 0.45, 0.95, 0.30),
        *(0.05, 1.12),
    ),
    Modality.FLAIR: (
        *(0.74, 0.82, 0.98, 0.36, 0.28, 0.20, 0.70),
        *(0.24, 0.45, 0.58, 0.32, 0.50, 0.58, 0.20),
        *(0.04, 0.62),
    ),
}
"""Mean brightness of the materials from 12 on, on the scale of `TISSUE_BRIGHTNESS`."""

PURE_FLUID = {Modality.FLAIR: 0.20}
"""Brightness of fluid without its surroundings, where that of the table holds much of them."""

TEXTURE = np.full(len(Material), 0.022, np.float32)
"""Spread of the brightness within a material, as a share of it."""

TEXTURE[[Material.FAT, Material.MUSCLE, Material.SKIN, Material.SOFT]] = 0.16
TEXTURE[[Material.MUCOSA, Material.MARROW, Material.PLEXUS, Material.VEIN]] = 0.20
TEXTURE[[Material.BONE, Material.COMPACT_BONE, Material.DURA]] = 0.30
TEXTURE[[Material.VENTRICLE, Material.CSF]] = 0.04


def material_brightness(modality: Modality) -> NDArray[np.float32]:
    """Return the mean brightness of each material, white matter on T1 being 1.

    Args:
        modality: T1, T2 or FLAIR.

    Returns:
        (28,) float32 in the order of `Material`.
    """
    means = [AIR_BRIGHTNESS, *TISSUE_BRIGHTNESS[modality], *BRIGHTNESS_OF_THE_REST[modality]]
    for fluid in FLUIDS:
        means[fluid] = PURE_FLUID.get(modality, means[fluid])
    return np.array(means, np.float32)
