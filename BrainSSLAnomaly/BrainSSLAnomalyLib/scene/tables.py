"""Findings as a table node, saved with the scene and readable in other modules."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import vtk

from ..core.results import Finding
from ..report.tables import REVIEW

COLUMNS = (
    "number",
    "place",
    "volume_ml",
    "peak_score",
    "peak_r_mm",
    "peak_a_mm",
    "peak_s_mm",
    "unusual",
    "confidence",
    "review",
)


def write_table(node: Any, findings: Sequence[Finding], rejected: Collection[int]) -> None:
    """Write one row a finding, rejected ones included; places in RAS mm, volumes in ml.

    Args:
        node: a ``vtkMRMLTableNode``, emptied first.
        findings: most anomalous first.
        rejected: their numbers.
    """
    rows = [
        (
            str(f.number),
            f.place,
            f"{f.volume_ml:.3f}",
            f"{f.peak_score:.4f}",
            *(f"{v:.1f}" for v in f.peak_ras),
            "; ".join(d.words for d in f.deviations),
            f.confidence,
            REVIEW[f.number in rejected],
        )
        for f in findings
    ]
    modified = node.StartModify()
    node.RemoveAllColumns()
    for index, title in enumerate(COLUMNS):
        column = vtk.vtkStringArray()
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[index])
        node.AddColumn(column)
    node.EndModify(modified)
