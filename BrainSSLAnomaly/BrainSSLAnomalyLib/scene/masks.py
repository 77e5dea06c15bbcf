"""Masks as segments, and whether somebody has edited them since."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..core.grid import Box
from ..core.resources import resource
from ..core.results import Finding
from .grids import Node, local_affine

TERMINOLOGY = "Segmentation category and type - BrainSSLAnomaly"
LESION = (
    f"{TERMINOLOGY}~SCT^49755003^Morphologically Altered Structure~SCT^52988006^Lesion~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)
"""SNOMED CT 52988006 "Lesion", as Slicer writes a terminology entry into a segment's tag."""
OURS = "BrainSSLAnomaly.Finding"
"""Tag of the segments that are ours: the number of the finding, or 0 for all in one."""
COLOUR = (0.95, 0.20, 0.20)
_REPLACE = 0  # vtkSlicerSegmentationsModuleLogic::MODE_REPLACE


def new_segmentation(name: str, reference: Node) -> Node:
    """Add an empty segmentation in the geometry and under the transform of a volume.

    It is outlined in 2-D and solid in 3-D.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    return node


def write_segments(
    node: Node,
    reference: Node,
    labels: NDArray[np.int32],
    findings: Sequence[Finding],
    one_each: bool,
) -> None:
    """Replace the segments that are ours; others are left alone.

    Args:
        node: the segmentation.
        reference: volume node with the grid of ``labels``.
        labels: (k, j, i), number of the finding in each voxel, 0 elsewhere.
        findings: that are in ``labels``, for the names.
        one_each: a segment a finding instead of one for all.
    """
    segmentation = node.GetSegmentation()
    segments = (
        {f.number: f"{f.number} {f.place}" for f in findings} if one_each else {0: "anomalies"}
    )
    have = our_segments(node)
    boxes = _boxes(labels, segments if one_each else None)
    modified = node.StartModify()
    try:
        for number, segment_id in have.items():
            if number not in segments:
                segmentation.RemoveSegment(segment_id)
        for number, name in segments.items():
            segment_id = have.get(number) or _add_segment(segmentation, number, name)
            if one_each:
                segmentation.GetSegment(segment_id).SetName(name)
            image = _image(labels, boxes.get(number), number, reference)
            slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
                image, node, segment_id, _REPLACE
            )
    finally:
        node.EndModify(modified)


def our_segments(node: Node) -> dict[int, str]:
    """Return number of the finding (0 for all in one) → segment ID."""
    segmentation = node.GetSegmentation()
    found = {}
    for segment_id in segmentation.GetSegmentIDs():
        tag = vtk.mutable("")
        if segmentation.GetSegment(segment_id).GetTag(OURS, tag):
            found[int(str(tag))] = segment_id
    return found


def fingerprint(node: Node, reference: Node) -> int:
    """Return a number that changes with the voxels of any segment.

    It survives saving and loading, which may turn a left-handed grid.
    """
    segmentation = node.GetSegmentation()
    affine = local_affine(reference)
    to_index = np.linalg.inv(affine)
    total = 0
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        if (
            image is None
            or image.GetNumberOfPoints() == 0
            or image.GetPointData().GetScalars() is None
        ):
            continue
        array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
        where = np.stack(np.nonzero(array == segment.GetLabelValue())[::-1]).astype(np.int64)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        to_grid = to_index @ np.asarray(slicer.util.arrayFromVTKMatrix(matrix))
        i, j, k = np.round(
            to_grid[:3, :3] @ (where + np.array(image.GetExtent()[::2])[:, None]) + to_grid[:3, 3:]
        ).astype(np.int64)
        if np.linalg.det(affine[:3, :3]) < 0:
            k = reference.GetImageData().GetDimensions()[2] - 1 - k
        codes = np.sort((k * 65521 + j) * 65521 + i)
        total = zlib.crc32(codes.tobytes(), total)
    return total


def show_surface(node: Node, on: bool) -> None:
    """Show or remove the closed surface in the 3-D views; removed, no slider waits for it."""
    node.RemoveClosedSurfaceRepresentation()
    if on:
        node.CreateClosedSurfaceRepresentation()


def _add_segment(segmentation: Any, number: int, name: str) -> str:
    segment = slicer.vtkSegment()
    segment.SetName(name)
    red, green, blue = COLOUR
    segment.SetColor(red, green + 0.12 * (number % 6), blue)
    segment.SetTag(segment.GetTerminologyEntryTagName(), LESION)
    segment.SetTag(OURS, str(number))
    segmentation.AddSegment(segment)
    return str(segmentation.GetSegmentIdBySegment(segment))


def _boxes(labels: NDArray[np.int32], numbers: Mapping[int, str] | None) -> dict[int, Box]:
    from scipy import ndimage

    if numbers is not None:
        return {
            number + 1: box
            for number, box in enumerate(ndimage.find_objects(labels))
            if box is not None
        }
    whole = ndimage.find_objects((labels > 0).view(np.uint8))
    return {0: whole[0]} if whole else {}


def _image(labels: NDArray[np.int32], box: Box | None, number: int, reference: Node) -> Any:
    """Return the part of the grid that holds a finding (0: any) as an oriented image."""
    if box is None:
        box, piece = (slice(0, 1),) * 3, np.zeros((1, 1, 1), np.uint8)
    else:
        piece = ((labels[box] == number) if number else (labels[box] > 0)).astype(np.uint8)
    image = slicer.vtkOrientedImageData()
    k, j, i = box
    image.SetExtent(i.start, i.stop - 1, j.start, j.stop - 1, k.start, k.stop - 1)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)
    image.GetPointData().SetScalars(
        numpy_to_vtk(piece.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    )
    return image


def load_terminology() -> bool:
    """Load the terminology with "Lesion", which Slicer's own lack; return whether it is there."""
    logic = slicer.modules.terminologies.logic()
    if logic.IsTerminologyContextLoaded(TERMINOLOGY):
        return True
    return bool(
        logic.LoadTerminologyFromFile(str(resource("Terminology", "BrainSSLAnomaly.term.json")))
    )
