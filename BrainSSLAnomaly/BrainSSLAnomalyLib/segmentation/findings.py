"""From a mask to findings: what a radiologist would say of each region."""

from __future__ import annotations

from collections.abc import Mapping

import cc3d
import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy, Region, Zone
from ..core.results import Deviation, Finding
from ..core.study import Modality

LARGE_ML = 10.0
"""Findings above this size span several depths: none is named."""


def label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """26-connected regions, numbered from 1."""
    return cc3d.connected_components(mask, connectivity=26, out_dtype=np.uint32).astype(np.int32)


def describe(
    labels: NDArray[np.int32],
    score: NDArray[np.float32],
    zscores: Mapping[Modality, NDArray[np.float32]],
    anatomy: PatientAnatomy,
    affine: NDArray[np.float64],
    voxel_ml: float,
) -> tuple[NDArray[np.int32], tuple[Finding, ...]]:
    """Findings, the most anomalous first: by peak score, then by volume.

    Args:
        labels: (k, j, i) from `label`.
        score, zscores, anatomy: on the same grid.
        affine: of that grid, (i, j, k) → RAS mm; may be left-handed or sheared.
        voxel_ml: volume of a voxel.

    Returns:
        The labels renumbered as the findings are, and the findings.
    """
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
        findings.append(
            _finding(number, piece, labels.shape, values[piece], zscores, anatomy, affine, voxel_ml)
        )
    return renumbered, tuple(findings)


def _finding(
    number: int,
    piece: NDArray[np.int64],
    shape: tuple[int, ...],
    scores: NDArray[np.float32],
    zscores: Mapping[Modality, NDArray[np.float32]],
    anatomy: PatientAnatomy,
    affine: NDArray[np.float64],
    voxel_ml: float,
) -> Finding:
    k, j, i = np.unravel_index(piece, shape)
    ras = affine[:3, :3] @ np.stack([i, j, k]) + affine[:3, 3:]
    ml = piece.size * voxel_ml
    deviations = [Deviation(m, float(np.median(z.ravel()[piece]))) for m, z in zscores.items()]
    deviations.sort(key=lambda d: -abs(d.zscore))
    half = np.abs(affine[:3, :3]).sum(1)  # a voxel has a size too
    return Finding(
        number=number,
        volume_ml=float(ml),
        centroid_ras=_point(ras.mean(1)),
        extent_ras=_point(np.ptp(ras, axis=1) + half),
        peak_ras=_point(ras[:, int(scores.argmax())]),
        peak_score=float(scores.max()),
        mean_score=float(scores.mean()),
        place=place(
            np.bincount(anatomy.regions.ravel()[piece], minlength=256),
            np.bincount(anatomy.zones.ravel()[piece], minlength=256),
            ml,
        ),
        deviations=tuple(deviations),
        certainty=certainty(float(scores.max()), float(ml)),
    )


def certainty(peak_score: float, volume_ml: float) -> str:
    """How sure: high from a peak of 0.95 and 0.1 ml, low below a peak of 0.8 or 0.03 ml, moderate between.

    A peak of 0.95 means that 0.05 ml of a healthy brain look as unusual (see ``scoring.statistical``).
    """
    if peak_score >= 0.95 and volume_ml >= 0.1:
        return "high"
    return "low" if peak_score < 0.8 or volume_ml < 0.03 else "moderate"


def place(
    region_counts: NDArray[np.int64], zone_counts: NDArray[np.int64], volume_ml: float
) -> str:
    """Where a finding lies, in words, from the voxels it has in each region and zone."""
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
