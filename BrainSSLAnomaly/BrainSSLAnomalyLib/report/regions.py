"""How unusual each region of the brain is: one row a lobe or nucleus, however small what was found there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.anatomy import Region
from ..core.results import Detection, Segmentation
from ..core.study import Modality


@dataclass(frozen=True)
class RegionRow:
    """One region of one brain. Voxels at the brain's edge, which are not scored, count with a score of 0.

    Attributes:
        region: which.
        volume_ml: of it, in ml.
        mean_score, high_score: mean and 99th percentile of the anomaly score, 0 to 1.
        reached_score: the highest score that 0.1 ml of it reaches, or None where it is too small to tell.
        marked_ml: how much of it the mask holds, after threshold and morphology, in ml.
        zscores: median robust z against healthy of each modality, in SD; positive is brighter. A lesion that fills less than half
            of a region does not move it: it says whether the region as a whole is unusual.
    """

    region: Region
    volume_ml: float
    mean_score: float
    high_score: float
    reached_score: float | None
    marked_ml: float
    zscores: Mapping[Modality, float]


def region_rows(detection: Detection, segmentation: Segmentation) -> list[RegionRow]:
    """Every region that the brain has, the most unusual first: by the score that 0.1 ml reaches, then by the 99th percentile."""
    codes = detection.anatomy.regions.ravel()
    inside = np.flatnonzero((codes > Region.OUTSIDE) & (codes < len(Region)))
    names = codes[inside]
    order = np.argsort(names, kind="stable")
    inside, names = inside[order], names[order]
    voxel_ml, rows = detection.reference.voxel_ml, []
    for code, first, count in zip(
        *np.unique(names, return_index=True, return_counts=True), strict=True
    ):
        where, region = inside[first : first + count], Region(int(code))
        score = detection.anomaly_score.ravel()[where]
        row = RegionRow(
            region=region,
            volume_ml=count * voxel_ml,
            mean_score=float(score.mean(dtype=np.float64)),
            high_score=float(np.percentile(score, 99)),
            reached_score=segmentation.region_scores.get(region.words),
            marked_ml=int(segmentation.mask.ravel()[where].sum()) * voxel_ml,
            zscores={m: float(np.median(z.ravel()[where])) for m, z in detection.zscores.items()},
        )
        rows.append(row)
    return sorted(rows, key=lambda r: (-(r.reached_score or 0), -r.high_score, r.region))
