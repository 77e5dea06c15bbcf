"""The contrast of volumes in the scene: by DICOM description, name, patient and study."""

from __future__ import annotations

import slicer

from ..core.study import REFERENCE_ORDER, Modality
from ..imageio.contrast import guess_from_name, guess_from_tags
from . import hierarchy
from .grids import Node
from .results import SOURCE


def contrast_of(node: Node) -> Modality | None:
    """Return the contrast by the DICOM series in the subject hierarchy, else by the name.

    None for masks, results and unknown names.
    """
    if node.GetNodeReference(SOURCE) is not None or node.IsA("vtkMRMLLabelMapVolumeNode"):
        return None
    guess = guess_from_tags(hierarchy.dicom_description(node))
    return guess[0] if guess else guess_from_name(node.GetName() or "")


def guess_scans(start: Node | None = None) -> dict[Modality, Node]:
    """Return one volume a contrast, all of one patient and study.

    Args:
        start: a volume of the study; without it the study with the most contrasts is taken, of
            equals the latest.
    """
    studies: dict[int, dict[Modality, Node]] = {}
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        contrast = contrast_of(node)
        if contrast is not None and node.GetImageData() is not None:
            studies.setdefault(hierarchy.patient_and_study(node), {})[contrast] = node
    if start is not None:
        found = dict(studies.get(hierarchy.patient_and_study(start), {}))
        contrast = contrast_of(start) or Modality.FLAIR
        return {**found, contrast: start}
    return max(reversed(list(studies.values())), key=len, default={})


def describe(scans: dict[Modality, Node]) -> str:
    """Return one line for the panel: which scan is the reference, and what is missing."""
    if not scans:
        return "Choose at least one scan; a FLAIR shows most lesions."
    reference = next(m for m in REFERENCE_ORDER if m in scans)
    line = f"Results will be on the grid of {scans[reference].GetName()} ({reference.value})."
    if Modality.FLAIR not in scans:
        line += " Without a FLAIR most lesions are missed: add one if there is any."
    return line
