"""What a network looked at, kept hidden in the scene: with it single findings can be explained, also after loading."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..core.errors import BadResults
from ..core.results import LookedAt
from ..core.study import Modality
from .grids import world_affine
from .maps import array_of, remove_node

Node = Any
_ROLE, _AXIS = "input-", "BrainSSLAnomaly.Axis"


def write_input(
    holder: Node, looked_at: LookedAt | None, reference: Node, made: list[Node], source: str
) -> None:
    """Keep what was looked at in hidden volumes; those of an earlier detection are replaced, or go.

    Args:
        holder: the node that holds the results together.
        looked_at: on a grid of its own, in RAS mm of the scene.
        reference: the scan, whose transform they follow.
        made: new nodes are added here.
        source: role under which a result refers to its scan.
    """
    for modality in Modality:
        role, image = (
            f"{_ROLE}{modality.value}",
            looked_at.images.get(modality) if looked_at else None,
        )
        node = holder.GetNodeReference(role)
        if looked_at is None or image is None:
            holder.SetNodeReferenceID(role, None)
            if node is not None:
                remove_node(node)
            continue
        if node is None:
            node = slicer.mrmlScene.AddNewNodeByClass(
                "vtkMRMLScalarVolumeNode", f"{reference.GetName()} network input {modality.value}"
            )
            node.SetHideFromEditors(True)
            made.append(node)
        node.SetIJKToRASMatrix(
            slicer.util.vtkMatrixFromArray(np.linalg.inv(_to_world(reference)) @ looked_at.affine)
        )
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(image, np.float32))
        node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        node.SetAttribute(_AXIS, str(looked_at.axis))
        node.SetNodeReferenceID(source, reference.GetID())
        holder.SetNodeReferenceID(role, node.GetID())


def has_input(holder: Node) -> bool:
    """Whether a single finding can be explained."""
    return any(holder.GetNodeReference(f"{_ROLE}{m.value}") is not None for m in Modality)


def read_input(holder: Node) -> LookedAt:
    """What was looked at.

    Raises:
        BadResults: nothing was kept, or somebody has changed it.
    """
    nodes = {
        m: node
        for m in Modality
        if (node := holder.GetNodeReference(f"{_ROLE}{m.value}")) is not None
    }
    if not nodes:
        raise BadResults("what the network looked at was not kept", "detect again")
    first = next(iter(nodes.values()))
    images = {m: array_of(node, node.GetName()).astype(np.float32) for m, node in nodes.items()}
    axis = first.GetAttribute(_AXIS)
    if axis not in {"0", "1", "2"} or len({image.shape for image in images.values()}) > 1:
        raise BadResults("what the network looked at has been changed", "detect again")
    return LookedAt(images, world_affine(first), int(axis))


def _to_world(reference: Node) -> NDArray[np.float64]:
    matrix = vtk.vtkMatrix4x4()
    if reference.GetParentTransformNode() is not None:
        reference.GetParentTransformNode().GetMatrixTransformToWorld(matrix)
    return np.asarray(slicer.util.arrayFromVTKMatrix(matrix), float)
