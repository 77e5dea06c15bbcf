"""From a mask to findings: each region with volume, place and deviations."""

from __future__ import annotations

from collections.abc import Mapping

import cc3d
import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy, Region, Zone
from ..core.grid import Grid
from ..core.results import Deviation, Finding
from ..core.study import Modality

LARGE_ML = 10.0
"""Larger findings span several depths: none is named."""


def label_regions(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the 26-connected regions of a mask, numbered from 1."""
    labels: NDArray = cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32)
    return labels.astype(np.int32)


def describe_findings(
    labels: NDArray[np.int32],
    score: NDArray[np.float32],
    zscores: Mapping[Modality, NDArray[np.float32]],
    anatomy: PatientAnatomy,
    grid: Grid,
) -> tuple[NDArray[np.int32], tuple[Finding, ...]]:
    """Return the findings, the most anomalous first: by peak score, then by volume.

    Args:
        labels: (k, j, i) from `label_regions`.
        score: (k, j, i), anomaly score.
        zscores: modality → (k, j, i), SD from healthy.
        anatomy: regions and zones on the same grid.
        grid: of all of them; may be left-handed or sheared.

    Returns:
        The labels renumbered as the findings are, and the findings.
    """
    # Not cc3d.statistics: 39 ms instead of 13 on a 1 mm volume, and without the peak.
    where = np.flatnonzero(labels)
    if where.size == 0:
        return labels, ()
    names = labels.ravel()[where]
    order = np.argsort(names, kind="stable")
    where, names = where[order], names[order]
    pieces = np.split(where, np.flatnonzero(np.diff(names)) + 1)
    values = score.ravel()
    ranked = sorted(
        pieces, key=lambda piece: (-float(values[piece].max()), -piece.size, int(piece[0]))
    )
    renumbered = np.zeros_like(labels)
    findings = []
    for number, piece in enumerate(ranked, start=1):
        renumbered.ravel()[piece] = number
        findings.append(_describe(number, piece, values[piece], zscores, anatomy, grid))
    return renumbered, tuple(findings)


def _describe(
    number: int,
    piece: NDArray[np.intp],
    scores: NDArray[np.float32],
    zscores: Mapping[Modality, NDArray[np.float32]],
    anatomy: PatientAnatomy,
    grid: Grid,
) -> Finding:
    """Return the finding of some voxels, given as flat indices."""
    axes = grid.affine[:3, :3]
    k, j, i = np.unravel_index(piece, grid.shape)
    ras = axes @ np.stack([i, j, k]) + grid.affine[:3, 3:]
    ml = float(piece.size * grid.voxel_ml)
    peak = float(scores.max())
    deviations = [Deviation(m, float(np.median(z.ravel()[piece]))) for m, z in zscores.items()]
    deviations.sort(key=lambda d: -abs(d.zscore))
    voxel_extent = np.abs(axes).sum(1)
    return Finding(
        number=number,
        volume_ml=ml,
        centroid_ras=_point(ras.mean(1)),
        extent_ras=_point(np.ptp(ras, axis=1) + voxel_extent),
        peak_ras=_point(ras[:, int(scores.argmax())]),
        peak_score=peak,
        mean_score=float(scores.mean()),
        place=name_place(
            np.bincount(anatomy.regions.ravel()[piece], minlength=256),
            np.bincount(anatomy.zones.ravel()[piece], minlength=256),
            ml,
        ),
        deviations=tuple(deviations),
        confidence=rate_confidence(peak, ml),
    )


def rate_confidence(peak_score: float, volume_ml: float) -> str:
    """Return the confidence in a finding: ``high``, ``moderate`` or ``low``.

    High from a peak of 0.95 and 0.1 ml, low below a peak of 0.8 or 0.03 ml, moderate between. A
    peak of 0.95 means that 0.05 ml of a healthy brain score as high (see ``scoring.exceedance``).

    Example:
        >>> rate_confidence(0.97, 0.5)
        'high'
    """
    if peak_score >= 0.95 and volume_ml >= 0.1:
        return "high"
    return "low" if peak_score < 0.8 or volume_ml < 0.03 else "moderate"


def name_place(
    region_counts: NDArray[np.int64], zone_counts: NDArray[np.int64], volume_ml: float
) -> str:
    """Return where a finding lies, in words.

    Args:
        region_counts: (n,) voxels of the finding in each region.
        zone_counts: (n,) voxels of the finding in each zone.
        volume_ml: of the finding.
    """
    regions = region_counts.copy()
    regions[Region.OUTSIDE] = 0
    total = max(int(regions.sum()), 1)
    ranked = [
        Region(int(r))
        for r in np.argsort(-regions, kind="stable")[:2]
        if regions[r] >= 0.25 * total
    ]
    if not ranked:
        return "brain"
    words = " and ".join(r.words for r in ranked)
    depth = _depth(zone_counts, volume_ml)
    return f"{words}, {depth}" if depth else words


def _depth(zones: NDArray[np.int64], volume_ml: float) -> str:
    share = zones / max(int(zones.sum()), 1)
    if share[Zone.BRAINSTEM] + share[Zone.CEREBELLUM] > 0.5:
        return "infratentorial"
    if share[Zone.VENTRICLE] > 0.5:
        return "within the ventricle"
    if share[Zone.DEEP_GREY] > 0.5:
        return "deep grey matter"
    if share[Zone.CSF] > 0.5:
        return "in the CSF space"
    if volume_ml > LARGE_ML:
        return ""
    if share[Zone.PERIVENTRICULAR] + share[Zone.VENTRICLE] > 0.05:
        return "periventricular"
    if share[Zone.CORTEX] > 0.5:
        return "cortical"
    if share[Zone.JUXTACORTICAL] + share[Zone.CORTEX] > 0.1:
        return "juxtacortical"
    return "deep white matter"


def _point(values: NDArray[np.float64]) -> tuple[float, float, float]:
    r, a, s = (float(v) for v in values)
    return r, a, s
