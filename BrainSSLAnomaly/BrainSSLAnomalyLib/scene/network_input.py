"""The network input of a detection, hidden in the scene, to explain single findings."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..core.errors import BadResults
from ..core.results import NetworkInput
from ..core.study import Modality
from .grids import Node, world_affine
from .maps import array_of, remove_node

_ROLE, _AXES = "input-", "BrainSSLAnomaly.Axes"


def write_input(
    holder: Node, given: NetworkInput | None, reference: Node, added: list[Node], source: str
) -> None:
    """Keep a network input in hidden volumes, in place of those of an earlier detection.

    Args:
        holder: the node that holds the results together.
        given: on a grid of its own, in RAS mm of the scene.
        reference: the scan, whose transform they follow.
        added: new nodes are appended here.
        source: role under which a result refers to its scan.
    """
    for modality in Modality:
        role = f"{_ROLE}{modality.value}"
        image = given.images.get(modality) if given is not None else None
        node = holder.GetNodeReference(role)
        if given is None or image is None:
            holder.SetNodeReferenceID(role, None)
            if node is not None:
                remove_node(node)
            continue
        if node is None:
            name = f"{reference.GetName()} network input {modality.value}"
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            node.SetHideFromEditors(True)
            added.append(node)
        local = np.linalg.inv(_to_world(reference)) @ given.affine
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(local))
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(image, np.float32))
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        node.SetAttribute(_AXES, ",".join(map(str, given.axes)))
        node.SetNodeReferenceID(source, reference.GetID())
        holder.SetNodeReferenceID(role, node.GetID())


def has_input(holder: Node) -> bool:
    """Return whether a single finding can be explained."""
    return bool(_nodes(holder))


def read_input(holder: Node) -> NetworkInput:
    """Return the network input.

    Raises:
        BadResults: nothing was kept, or somebody has changed it.
    """
    nodes = _nodes(holder)
    if not nodes:
        raise BadResults("the network input of this detection was not kept", "detect again")
    first = next(iter(nodes.values()))
    images = {m: array_of(node, node.GetName()).astype(np.float32) for m, node in nodes.items()}
    axes = (first.GetAttribute(_AXES) or "").split(",")
    shapes = {image.shape for image in images.values()}
    if not set(axes) <= {"0", "1", "2"} or len(shapes) > 1:
        raise BadResults("the network input of this detection has been changed", "detect again")
    return NetworkInput(images, world_affine(first), tuple(int(axis) for axis in axes))


def _nodes(holder: Node) -> dict[Modality, Node]:
    found = {m: holder.GetNodeReference(f"{_ROLE}{m.value}") for m in Modality}
    return {modality: node for modality, node in found.items() if node is not None}


def _to_world(reference: Node) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    transform = reference.GetParentTransformNode()
    if transform is not None:
        transform.GetMatrixTransformToWorld(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), float)
