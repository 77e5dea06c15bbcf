"""Names for places in a brain: regions, zones, tissues and structures, and the template grids.

Two label maps describe where each voxel of a patient lies. ``regions`` holds the lobe or nucleus
with its side; ``zones`` the depth, in the terms of white-matter disease (periventricular,
juxtacortical, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .grid import Grid


class Zone(IntEnum):
    """Name the depth of a voxel.

    Distances follow MAGNIMS usage: what touches ventricle or cortex is named after it.
    """

    OUTSIDE = 0
    VENTRICLE = 1
    PERIVENTRICULAR = 2  # white matter within 3 mm of a lateral or third ventricle
    DEEP_WHITE = 3
    JUXTACORTICAL = 4  # white matter within 3 mm of the cortex
    CORTEX = 5
    DEEP_GREY = 6
    BRAINSTEM = 7
    CEREBELLUM = 8
    CSF = 9  # outside the ventricles


class Region(IntEnum):
    """Name a lobe, nucleus or compartment.

    Even codes are left, odd codes right, of the same structure; 1 and 0 stand alone.
    """

    OUTSIDE = 0
    MIDLINE = 1
    LEFT_FRONTAL = 2
    RIGHT_FRONTAL = 3
    LEFT_PARIETAL = 4
    RIGHT_PARIETAL = 5
    LEFT_TEMPORAL = 6
    RIGHT_TEMPORAL = 7
    LEFT_OCCIPITAL = 8
    RIGHT_OCCIPITAL = 9
    LEFT_INSULA = 10
    RIGHT_INSULA = 11
    LEFT_CINGULATE = 12
    RIGHT_CINGULATE = 13
    LEFT_CAUDATE = 14
    RIGHT_CAUDATE = 15
    LEFT_LENTIFORM = 16
    RIGHT_LENTIFORM = 17
    LEFT_THALAMUS = 18
    RIGHT_THALAMUS = 19
    LEFT_HIPPOCAMPUS = 20
    RIGHT_HIPPOCAMPUS = 21
    LEFT_AMYGDALA = 22
    RIGHT_AMYGDALA = 23
    LEFT_LATERAL_VENTRICLE = 24
    RIGHT_LATERAL_VENTRICLE = 25
    LEFT_CEREBELLUM = 26
    RIGHT_CEREBELLUM = 27
    LEFT_BRAINSTEM = 28
    RIGHT_BRAINSTEM = 29
    CORPUS_CALLOSUM = 30
    THIRD_OR_FOURTH_VENTRICLE = 31

    @property
    def words(self) -> str:
        """Return the region in words, e.g. ``left frontal lobe``."""
        return _WORDS[self]


_LOBES = {"frontal", "parietal", "temporal", "occipital"}


def _in_words(region: Region) -> str:
    if region is Region.OUTSIDE:
        return "outside the brain"
    words = region.name.lower().replace("_", " ").replace("lentiform", "lentiform nucleus")
    words = words.replace("caudate", "caudate nucleus").replace("cingulate", "cingulate gyrus")
    return words + " lobe" if words.split()[-1] in _LOBES else words


_WORDS = {region: _in_words(region) for region in Region}


@dataclass(frozen=True)
class PatientAnatomy:
    """Hold the place of every voxel of a grid.

    Attributes:
        regions: (k, j, i) uint8, codes of `Region`.
        zones: (k, j, i) uint8, codes of `Zone`.
    """

    regions: NDArray[np.uint8]
    zones: NDArray[np.uint8]


class Tissue(IntEnum):
    """Name the tissue classes of the bundled probability maps, in order of their first axis."""

    WHITE = 0
    CORTEX = 1  # with hippocampus and amygdala
    STRIATUM = 2  # caudate, putamen, accumbens
    THALAMUS = 3  # with pallidum and ventral diencephalon
    VENTRICLE = 4
    CSF = 5  # outside the ventricles, out to the skull
    BRAINSTEM = 6
    CEREBELLUM_WHITE = 7
    CEREBELLUM_CORTEX = 8
    BONE = 9
    SOFT = 10  # skin, fat, muscle, mucosa

    @property
    def intracranial(self) -> bool:
        """Return whether the class lies inside the skull."""
        return self <= Tissue.CEREBELLUM_CORTEX


INTRACRANIAL = tuple(t for t in Tissue if t.intracranial)


class Structure(IntEnum):
    """Name a class of the anatomy network.

    From 2 to 15 even codes are left and odd codes are the same on the right; others have no side.
    """

    OUTSIDE = 0
    CSF = 1
    LEFT_WHITE = 2
    RIGHT_WHITE = 3
    LEFT_CORTEX = 4
    RIGHT_CORTEX = 5
    LEFT_STRIATUM = 6
    RIGHT_STRIATUM = 7
    LEFT_THALAMUS = 8
    RIGHT_THALAMUS = 9
    LEFT_HIPPOCAMPUS = 10  # with amygdala
    RIGHT_HIPPOCAMPUS = 11
    LEFT_VENTRICLE = 12
    RIGHT_VENTRICLE = 13
    LEFT_CEREBELLUM = 14
    RIGHT_CEREBELLUM = 15
    MIDLINE_VENTRICLES = 16
    BRAINSTEM = 17


TISSUE_OF_STRUCTURE = (None, 5, 0, 0, 1, 1, 2, 2, 3, 3, 1, 1, 4, 4, None, None, 4, 6)
"""Code of the `Tissue` of every `Structure`; None for the outside, and for the cerebellum, which
holds two."""

STRUCTURE_SPACING_MM = 2.0
"""Edge of the cubic voxels on which the anatomy network predicts."""

TEMPLATE_GRID = Grid(
    (182, 218, 182),
    np.array([[1.0, 0, 0, -91], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]]),
)
"""The 1 mm grid of the template, in MNI152 space."""

COARSE_GRID = Grid(
    (91, 109, 91),
    np.array([[2.0, 0, 0, -90.5], [0, 2, 0, -125.5], [0, 0, 2, -71.5], [0, 0, 0, 1]]),
)
"""The 2 mm grid of the probability maps: the same box, voxel pairs joined."""
