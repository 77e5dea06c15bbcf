"""The reader's review of findings, kept as places: every mask numbers its findings anew."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid
from ..core.results import Finding

VoxelPlace = tuple[int, int, int]


def peak_voxel(finding: Finding, grid: Grid) -> VoxelPlace:
    """Return the voxel (k, j, i) of a finding's peak.

    Args:
        finding: on the grid.
        grid: of the detection.
    """
    k, j, i = (round(n) for n in grid.to_index(finding.peak_ras))
    return k, j, i


def rejected_numbers(labels: NDArray[np.int32], places: Collection[VoxelPlace]) -> frozenset[int]:
    """Return the numbers of the findings that hold a rejected place.

    Args:
        labels: (k, j, i), number of the finding in each voxel.
        places: (k, j, i) of rejected findings.
    """
    inside = [
        place
        for place in places
        if all(0 <= p < n for p, n in zip(place, labels.shape, strict=True))
    ]
    return frozenset(int(labels[place]) for place in inside if labels[place])


def without_rejected(labels: NDArray[np.int32], rejected: Collection[int]) -> NDArray[np.int32]:
    """Return the labels without those of rejected findings."""
    if not rejected:
        return labels
    keep = np.arange(int(labels.max()) + 1, dtype=np.int32)
    keep[[n for n in rejected if n < keep.size]] = 0
    return keep[labels]
