"""Masks and reports from the scene to files, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer

from ..core.errors import BrainSSLAnomalyError
from ..core.files import replacing_file
from ..core.study import Volume
from ..imageio import results_folder, write_results, write_volume
from ..report import write_report
from .grids import Node, local_affine
from .session import Session

NIFTI = (".nii", ".nii.gz")


def save_mask(segmentation: Node, reference: Node, path: Path) -> None:
    """Write the segmentation as it is in the scene, edits included.

    Args:
        segmentation: its node.
        reference: volume node that gives the grid.
        path: ``.nii`` or ``.nii.gz`` for a label map (numbers in the order of the segments), else a
            ``.seg.nrrd``.

    Raises:
        BrainSSLAnomalyError: the file cannot be written.
    """
    try:
        if path.name.endswith(NIFTI):
            labels = _label_map(segmentation, reference)
            write_volume(path, Volume(labels, local_affine(reference)), np.uint16)
        else:
            _write_nrrd(segmentation, path)
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"{path.name} cannot be written ({error.strerror or error})", "choose another folder"
        ) from error


def save_report(session: Session, folder: Path, *, overwrite: bool = False) -> Path:
    """Write the folder that the command line writes: maps, mask, findings, report.

    Rejected findings are listed as such in the table, and left out of everything else.

    Returns:
        The path of ``report.html``.

    Raises:
        BrainSSLAnomalyError: the folder cannot be written to, or is not empty and ``overwrite`` is
            off.
    """
    detection, settings = session.detection, session.settings
    segmentation = session.accepted_segmentation()
    rejected = [f for f in session.findings if f.number in session.rejected]
    with results_folder(folder, overwrite=overwrite) as stage:
        write_results(stage, detection, segmentation, settings)
        write_report(stage, detection, segmentation, settings, rejected)
    return folder / "report.html"


def _label_map(segmentation: Node, reference: Node) -> np.ndarray:
    labels = np.zeros(slicer.util.arrayFromVolume(reference).shape, np.uint16)
    segment_ids = segmentation.GetSegmentation().GetSegmentIDs()
    for number, segment_id in enumerate(segment_ids, start=1):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, reference)
        labels[mask > 0] = number
    return labels


def _write_nrrd(segmentation: Node, path: Path) -> None:
    """Write by Slicer's own writer."""
    with replacing_file(path) as partial:
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(partial))
        if not storage.WriteData(segmentation) or not partial.is_file():
            raise OSError(None, "Slicer could not write it")
