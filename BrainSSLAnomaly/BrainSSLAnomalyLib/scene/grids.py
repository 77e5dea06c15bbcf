"""Volumes of the scene as (k, j, i) arrays with an affine to RAS mm, transforms included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..core.errors import UnsuitableScan
from ..core.study import Modality, Scan, Study, Volume
from ..imageio.checks import check_grid, check_intensities

Node = Any
"""A MRML node: Slicer ships no type information."""

MIN_OVERLAP_MM = 40.0
"""Two scans of one head share at least this much along every axis."""


def local_affine(node: Node) -> NDArray[np.float64]:
    """Return (i, j, k) → RAS mm of the volume itself, without its transform; may be left-handed."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), float)


def world_affine(node: Node) -> NDArray[np.float64]:
    """Return (i, j, k) → RAS mm of the scene, with every linear transform above the volume.

    Raises:
        UnsuitableScan: a transform above it is not linear.
    """
    transform = node.GetParentTransformNode()
    if transform is None:
        return local_affine(node)
    if not transform.IsTransformToWorldLinear():
        raise UnsuitableScan(
            f"{node.GetName()} lies under a transform that is not linear",
            "harden the transform, or take it out of it",
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), float) @ local_affine(node)


def volume_from_node(node: Node) -> Volume:
    """Return a copy of a scalar volume's voxels as float32, with its place in the scene.

    Raises:
        UnsuitableScan: no voxels, a label map, several values a voxel, a transform that is not
            linear, or a grid or content that cannot be a structural MRI of a head.
    """
    name = node.GetName()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise UnsuitableScan(f"{name} is a label map", "give the scan it was drawn on")
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise UnsuitableScan(f"{name} holds no voxels", "load it again")
    if image.GetNumberOfScalarComponents() != 1:
        count = image.GetNumberOfScalarComponents()
        raise UnsuitableScan(
            f"{name} has {count} values a voxel", "give the scan itself, not a rendering of it"
        )
    affine = world_affine(node)
    check_grid(image.GetDimensions(), affine, name)
    volume = Volume(slicer.util.arrayFromVolume(node).astype(np.float32), affine)
    check_intensities(volume, name)
    return volume


def scan_from_node(node: Node, modality: Modality) -> Scan:
    """Return a volume as a `Scan`; its source is the name of the node.

    Raises:
        UnsuitableScan: see `volume_from_node`.
    """
    return Scan(volume_from_node(node), modality, node.GetName())


def study_from_nodes(nodes: Mapping[Modality, Node]) -> Study:
    """Return the study of some volumes.

    Raises:
        UnsuitableScan: none was given, one is given twice, or one cannot be used.
    """
    if not nodes:
        raise UnsuitableScan(
            "no scan was chosen", "choose at least one; a FLAIR shows most lesions"
        )
    known: dict[str, Modality] = {}
    for modality, node in nodes.items():
        if node.GetID() in known:
            first = known[node.GetID()].value
            raise UnsuitableScan(
                f"{node.GetName()} is chosen as {first} and as {modality.value}", "choose it once"
            )
        known[node.GetID()] = modality
    study = Study({modality: scan_from_node(node, modality) for modality, node in nodes.items()})
    _check_overlap(study)
    return study


def _check_overlap(study: Study) -> None:
    """Refuse scans that do not show the same head at the same place.

    Raises:
        UnsuitableScan: their boxes do not meet.
    """
    low, high = _extent(study.reference.volume)
    for scan in study.scans.values():
        other_low, other_high = _extent(scan.volume)
        shared = np.minimum(high, other_high) - np.maximum(low, other_low)
        if (shared < MIN_OVERLAP_MM).any():
            raise UnsuitableScan(
                f"{scan.source} and {study.reference.source} lie at different places",
                "check that both are of one patient and one visit, or register one to the other "
                "first",
            )


def _extent(volume: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and highest RAS mm of a volume."""
    corners = np.array([[i, j, k, 1.0] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    ras = (volume.affine @ (corners * [*volume.array.shape[::-1], 1]).T)[:3]
    return ras.min(1), ras.max(1)
