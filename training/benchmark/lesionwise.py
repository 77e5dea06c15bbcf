"""Lesion-wise counts.

As in the WMH Segmentation Challenge (Kuijf et al., IEEE TMI 38, 2019), lesions are the 26-connected
components of a mask, and one voxel of overlap is enough (IoU > 0). Sensitivity counts the lesions
of the truth, precision those of the mask, so that a region that joins two lesions has detected
both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

SMALL_ML = 0.1
"""Lesions below this volume are also counted separately."""


@dataclass(frozen=True)
class LesionWise:
    """Counts of one patient, or of several added up.

    Attributes:
        lesions: of the truth.
        detected: lesions that the mask touches.
        regions: of the mask.
        correct: regions that touch the truth.
    """

    lesions: int
    detected: int
    regions: int
    correct: int

    @property
    def sensitivity(self) -> float:
        """Share of the lesions that are detected, NaN without a lesion."""
        return self.detected / self.lesions if self.lesions else float("nan")

    @property
    def precision(self) -> float:
        """Share of the regions that are correct, NaN where nothing is marked."""
        return self.correct / self.regions if self.regions else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both: 0 where nothing is detected, NaN without a lesion."""
        if not self.detected or not self.correct:
            return 0.0 if self.lesions else float("nan")
        return 2 * self.sensitivity * self.precision / (self.sensitivity + self.precision)


def count_lesions(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], voxel_ml: float
) -> dict[str, LesionWise]:
    """Count ``all`` lesions, the ``small`` ones below `SMALL_ML`, and the ``large`` ones.

    A lesion and a region are sized by their own volume; each is compared with the whole of the
    other mask.
    """
    lesions, regions = _label_components(truth, found), _label_components(found, truth)

    def counts(low: float, high: float) -> LesionWise:
        hits = [
            hit[(size * voxel_ml >= low) & (size * voxel_ml < high)]
            for size, hit in (lesions, regions)
        ]
        return LesionWise(*(int(n) for hit in hits for n in (hit.size, hit.sum())))

    return {
        "all": counts(0, np.inf),
        "small": counts(0, SMALL_ML),
        "large": counts(SMALL_ML, np.inf),
    }


def pool_counts(several: Iterable[LesionWise]) -> LesionWise:
    """Add the counts of several patients."""
    counts = [(s.lesions, s.detected, s.regions, s.correct) for s in several]
    return LesionWise(*(sum(column) for column in zip(*counts, strict=True)))


def _label_components(
    mask: NDArray[np.bool_], other: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the number of voxels of each component of a mask, and whether it touches the other."""
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    size = np.bincount(labels[mask], minlength=count + 1)[1:]
    return size, np.bincount(labels[mask & other], minlength=count + 1)[1:] > 0
