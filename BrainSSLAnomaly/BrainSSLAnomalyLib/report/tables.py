"""Findings and regions as CSV tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence

from ..core.results import Finding
from ..core.study import Modality
from .regions import RegionRow

REVIEW = ("accepted", "rejected")
"""States of a finding in the review: a finding is accepted unless it is rejected."""


def findings_csv(
    findings: Sequence[Finding], modalities: Sequence[Modality], rejected: Collection[int] = ()
) -> str:
    """Return one row a finding; places in RAS mm, volumes in ml, z-scores in SD.

    Args:
        findings: most anomalous first.
        modalities: those with a z-score; each has its column even without findings.
        rejected: numbers of the findings that the reader has rejected.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    points = [
        f"{name}_{axis}_mm" for name in ("centroid", "extent", "peak") for axis in ("r", "a", "s")
    ]
    writer.writerow(
        [
            "number",
            "volume_ml",
            *points,
            "peak_score",
            "mean_score",
            "place",
            "confidence",
            "review",
            *(f"zscore_{m.key}" for m in modalities),
        ]
    )
    for f in findings:
        z = {d.modality: d.zscore for d in f.deviations}
        places = [f"{v:.1f}" for v in (*f.centroid_ras, *f.extent_ras, *f.peak_ras)]
        scores = [f"{z[m]:.2f}" if m in z else "" for m in modalities]
        writer.writerow(
            [
                f.number,
                f"{f.volume_ml:.4f}",
                *places,
                f"{f.peak_score:.4f}",
                f"{f.mean_score:.4f}",
                f.place,
                f.confidence,
                REVIEW[f.number in rejected],
                *scores,
            ]
        )
    return stream.getvalue()


def regions_csv(rows: Sequence[RegionRow], modalities: Sequence[Modality]) -> str:
    """Return one row a region; volumes in ml, z-scores in SD (see `RegionRow`).

    Args:
        rows: most unusual first.
        modalities: those with a z-score.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    scores = ["mean_score", "p99_score", "score_0.1_ml_reaches"]
    writer.writerow(
        [
            "region",
            "volume_ml",
            *scores,
            "marked_ml",
            *(f"median_zscore_{m.key}" for m in modalities),
        ]
    )
    for r in rows:
        reached = "" if r.reached_score is None else f"{r.reached_score:.4f}"
        z = [f"{r.zscores[m]:.2f}" for m in modalities]
        writer.writerow(
            [
                r.region.words,
                f"{r.volume_ml:.3f}",
                f"{r.mean_score:.4f}",
                f"{r.high_score:.4f}",
                reached,
                f"{r.marked_ml:.4f}",
                *z,
            ]
        )
    return stream.getvalue()
