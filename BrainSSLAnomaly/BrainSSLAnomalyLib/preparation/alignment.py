"""The scans of a study on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import STRUCTURE_SPACING_MM
from ..core.grid import Grid
from ..core.resampling import resample
from ..core.study import Modality, Study, Volume
from .brain_mask import find_stripped_brain, shares_stripped_brain
from .canonical import canonical_copy, canonical_grid
from .registration import register_rigidly


@dataclass(frozen=True)
class AlignedStudy:
    """Hold the scans of a study on one canonical 2 mm grid.

    Attributes:
        study: the scans as they were read.
        stripped_brain: (k, j, i) bool on the grid of the reference, or None for a whole head.
        reference_to_scan: modality → (4, 4), RAS mm of the reference → RAS mm of that scan.
        scans: modality → the scan on the canonical grid.
    """

    study: Study
    stripped_brain: NDArray[np.bool_] | None
    reference_to_scan: Mapping[Modality, NDArray[np.float64]]
    scans: Mapping[Modality, Volume]

    @property
    def reference(self) -> Volume:
        """Return the scan on whose grid the results are."""
        return self.study.reference.volume

    @property
    def grid(self) -> Grid:
        """Return the canonical grid."""
        return next(iter(self.scans.values())).grid

    @property
    def is_stripped(self) -> bool:
        """Return whether the reference came without skull."""
        return self.stripped_brain is not None


def align_scans(study: Study) -> AlignedStudy:
    """Register every scan to the reference.

    Stripped scans that share the grid of the reference are aligned already and stay in place.
    """
    reference = study.reference
    fixed = reference.volume
    brain = find_stripped_brain(fixed)
    motions: dict[Modality, NDArray[np.float64]] = {}
    for modality in study.modalities:
        scan = study.scans[modality].volume
        if modality is reference.modality or _is_in_place(scan, fixed, brain):
            motions[modality] = np.eye(4)
        else:
            motions[modality] = register_rigidly(scan, fixed)
    grid = canonical_grid(fixed.grid, STRUCTURE_SPACING_MM)
    scans = {m: _on_grid(study.scans[m].volume, grid, motions[m]) for m in study.modalities}
    return AlignedStudy(study, brain, motions, scans)


def _is_in_place(scan: Volume, fixed: Volume, brain: NDArray[np.bool_] | None) -> bool:
    if brain is None or not scan.grid.matches(fixed.grid):
        return False
    return shares_stripped_brain(scan, brain)


def _on_grid(scan: Volume, grid: Grid, motion: NDArray[np.float64]) -> Volume:
    copy = canonical_copy(scan, grid.spacing[0])
    array = resample(copy, grid, motion, fill=float(copy.array.min()))
    return Volume(array, grid.affine)
