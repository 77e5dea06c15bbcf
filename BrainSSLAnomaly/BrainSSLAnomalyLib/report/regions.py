"""How unusual each region of the brain is: one row a lobe or nucleus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..core.anatomy import Region
from ..core.results import Detection, Segmentation
from ..core.study import Modality


@dataclass(frozen=True)
class RegionRow:
    """Describe one region of one brain.

    Voxels at the edge of the brain, which are not scored, count with a score of 0.

    Attributes:
        region: lobe or nucleus.
        volume_ml: of the region, in ml.
        mean_score: mean anomaly score, 0 to 1.
        high_score: 99th percentile of the anomaly score, 0 to 1.
        reached_score: the highest score that 0.1 ml of it reach, or None where it is too small.
        marked_ml: how much of it is in the mask, in ml.
        zscores: modality → median robust z against healthy people, in SD; positive is brighter. It
            shows whether the region as a whole is unusual: a lesion that fills less than half of it
            does not move the median.
    """

    region: Region
    volume_ml: float
    mean_score: float
    high_score: float
    reached_score: float | None
    marked_ml: float
    zscores: Mapping[Modality, float]


def region_rows(detection: Detection, segmentation: Segmentation) -> list[RegionRow]:
    """Return every region of the brain, the most unusual first.

    The order is by the score that 0.1 ml reach, then by the 99th percentile.
    """
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
