"""What the reader accepts and rejects, kept as places: findings are numbered anew at every move of a slider."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ..core.results import Finding

VoxelPlace = tuple[int, int, int]


def peak_voxel(finding: Finding, affine: NDArray[np.float64]) -> VoxelPlace:
    """(k, j, i) of a finding's peak.

    Args:
        finding: what was found.
        affine: of the grid, (i, j, k) → RAS mm.
    """
    i, j, k = (round(float(v)) for v in (np.linalg.inv(affine) @ [*finding.peak_ras, 1.0])[:3])
    return k, j, i


def rejected_numbers(labels: NDArray[np.int32], places: Collection[VoxelPlace]) -> frozenset[int]:
    """Numbers of the findings that hold a rejected place.

    Args:
        labels: (k, j, i), number of the finding in each voxel.
        places: (k, j, i) of what was rejected.
    """
    inside = [
        place
        for place in places
        if all(0 <= p < n for p, n in zip(place, labels.shape, strict=True))
    ]
    return frozenset(int(labels[place]) for place in inside if labels[place])


def accepted(labels: NDArray[np.int32], rejected: Collection[int]) -> NDArray[np.int32]:
    """The labels without those of rejected findings."""
    if not rejected:
        return labels
    keep = np.arange(int(labels.max()) + 1, dtype=np.int32)
    keep[[n for n in rejected if n < keep.size]] = 0
    return keep[labels]
