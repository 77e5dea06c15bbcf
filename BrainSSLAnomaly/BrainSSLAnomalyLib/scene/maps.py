"""Arrays into volume nodes on the grid of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..core.errors import BadResults
from .colours import colour_node
from .layers import Layer

Node = Any


def write_map(
    node: Node | None,
    name: str,
    array: NDArray,
    reference: Node,
    kind: str = "vtkMRMLScalarVolumeNode",
) -> Node:
    """Put an array into a volume node of the grid and under the transform of a scan.

    Args:
        node: the one to fill, or None for a new one, whose name becomes ``name``.
        array: (k, j, i), copied.
        reference: volume node that gives matrix, transform and study.
        kind: class of a new node.

    Raises:
        BadResults: the reference no longer has the grid of the array.
    """
    image = reference.GetImageData()
    if image is None or image.GetDimensions()[::-1] != array.shape:
        raise BadResults(f"{reference.GetName()} has another grid than its results", "detect again")
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array))
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    return node


def dress(node: Node, layer: Layer, reference: Node) -> None:
    """Colour table and window of a layer; once, since what users change afterwards is theirs."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    if layer.window is not None:
        display.SetWindowLevelMinMax(*layer.window)
    else:
        same_window(node, reference)
    display.SetInterpolate(True)
    display.SetAndObserveColorNodeID(colour_node(slicer.mrmlScene, layer.colours).GetID())
    node.SetAttribute("BrainSSLAnomaly.Unit", layer.unit)


def same_window(node: Node, scan: Node) -> None:
    """Show a volume in the window of a scan: what differs is then the content."""
    if node.GetDisplayNode() is not None and scan.GetDisplayNode() is not None:
        display, like = node.GetDisplayNode(), scan.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(like.GetWindowLevelMin(), like.GetWindowLevelMax())


def limits(node: Node) -> tuple[float, float]:
    """What a window can be chosen from: the values of a volume and the window it has."""
    low, high = node.GetImageData().GetScalarRange()
    display = node.GetDisplayNode()
    return min(low, display.GetWindowLevelMin()), max(high, display.GetWindowLevelMax())


def show_legend(node: Node, on: bool) -> None:
    """Colour legend of a layer in the views."""
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(node)
    if legend is None and on:
        legend = logic.AddDefaultColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetTitleText(
                f"{node.GetAttribute('BrainSSLAnomaly.Layer')}\n{node.GetAttribute('BrainSSLAnomaly.Unit')}"
            )
            legend.GetTitleTextProperty().SetFontSize(14)
            legend.GetLabelTextProperty().SetFontSize(12)
            legend.SetLabelFormat("%.1f")
            legend.SetMaxNumberOfColors(256)
            legend.SetNumberOfLabels(5)
    if legend is not None:
        legend.SetVisibility(on)


def remove_node(node: Node) -> None:
    """Take a node out of the scene with its display and storage nodes, which nobody else uses."""
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    slicer.mrmlScene.RemoveNode(node)
    for helper in helpers:
        if helper is not None:
            slicer.mrmlScene.RemoveNode(helper)


def array_of(node: Node | None, what: str) -> NDArray:
    """A copy of a volume's voxels, (k, j, i).

    Raises:
        BadResults: the node is gone or empty.
    """
    if node is None or node.GetImageData() is None:
        raise BadResults(f"{what} is no longer in the scene", "detect again")
    return slicer.util.arrayFromVolume(node).copy()
