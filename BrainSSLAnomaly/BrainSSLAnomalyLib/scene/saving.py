"""Masks and reports from the scene to files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ..core.errors import BrainSSLAnomalyError
from ..core.settings import detection_from_dict
from ..imageio import staged_folder, write_results, write_volume
from .session import Session


def save_mask(segmentation: Any, reference: Any, path: Path) -> None:
    """The segmentation as it stands in the scene, edits included.

    Args:
        segmentation: its node.
        reference: volume node that gives the grid.
        path: ``.nii`` or ``.nii.gz`` for a label map (numbers in the order of the segments), else a ``.seg.nrrd``.

    Raises:
        BrainSSLAnomalyError: the file cannot be written.
    """
    from .grids import local_affine

    try:
        if path.name.endswith((".nii", ".nii.gz")):
            from ..core.study import Volume

            labels = np.zeros(slicer.util.arrayFromVolume(reference).shape, np.uint16)
            for number, segment_id in enumerate(
                segmentation.GetSegmentation().GetSegmentIDs(), start=1
            ):
                labels[
                    slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, reference)
                    > 0
                ] = number
            write_volume(path, Volume(labels, local_affine(reference)), np.uint16)
        else:
            _write_nrrd(segmentation, path)
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"{path.name} cannot be written ({error.strerror or error})", "choose another folder"
        ) from error


def save_report(session: Session, folder: Path, overwrite: bool = False) -> Path:
    """The folder that the command line writes: maps, mask, findings, report. Only accepted findings are in it; the table
    of findings lists the rejected ones too, as such.

    Returns:
        The path of ``report.html``.

    Raises:
        BrainSSLAnomalyError: the folder cannot be written to, or is not empty and ``overwrite`` is off.
    """
    from ..report import write_report

    detection, segmentation, settings = session.detection, session.kept(), session.settings
    with staged_folder(folder, overwrite) as stage:
        made_with: Any = detection.facts.get("settings", {})
        used = detection_from_dict({"detector": detection.detector, **made_with})
        write_results(stage, detection, segmentation, settings, used)
        rejected = [f for f in session.findings if f.number in session.rejected]
        write_report(stage, detection, segmentation, settings, rejected)
    return folder / "report.html"


def _write_nrrd(segmentation: Any, path: Path) -> None:
    """By Slicer's own writer, under a temporary name until it is whole."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as name:
        partial = Path(name) / "mask.seg.nrrd"
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(partial))
        if not storage.WriteData(segmentation) or not partial.is_file():
            raise OSError(None, "Slicer could not write it")
        os.replace(partial, path)
