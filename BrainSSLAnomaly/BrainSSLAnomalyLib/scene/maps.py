"""Arrays into volume nodes on the grid of a scan."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from ..core.errors import BadResults
from .colours import colour_node
from .grids import Node
from .layers import Layer


def write_map(
    node: Node | None,
    name: str,
    array: NDArray,
    reference: Node,
    kind: str = "vtkMRMLScalarVolumeNode",
) -> Node:
    """Put an array into a volume node of the grid and under the transform of a scan.

    Args:
        node: to fill, or None for a new one.
        name: of a new node.
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


def set_display(node: Node, layer: Layer, reference: Node) -> None:
    """Set colour table and window of a new layer; what users change afterwards is theirs."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    if layer.window is not None:
        display.SetWindowLevelMinMax(*layer.window)
    else:
        copy_window(node, reference)
    display.SetInterpolate(True)
    display.SetAndObserveColorNodeID(colour_node(slicer.mrmlScene, layer.colours).GetID())
    node.SetAttribute("BrainSSLAnomaly.Unit", layer.unit)


def copy_window(node: Node, scan: Node) -> None:
    """Show a volume in the window of a scan, so that only the content differs."""
    if node.GetDisplayNode() is not None and scan.GetDisplayNode() is not None:
        display, like = node.GetDisplayNode(), scan.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(like.GetWindowLevelMin(), like.GetWindowLevelMax())


def window_limits(node: Node) -> tuple[float, float]:
    """Return the range of possible windows: the values of a volume and its window now."""
    low, high = node.GetImageData().GetScalarRange()
    display = node.GetDisplayNode()
    return min(low, display.GetWindowLevelMin()), max(high, display.GetWindowLevelMax())


def show_legend(node: Node, on: bool) -> None:
    """Show or hide the colour legend of a layer in the views."""
    logic = slicer.modules.colors.logic()
    legend = logic.GetColorLegendDisplayNode(node)
    if legend is None and on:
        legend = logic.AddDefaultColorLegendDisplayNode(node)
        if legend is not None:
            title = node.GetAttribute("BrainSSLAnomaly.Layer")
            legend.SetTitleText(f"{title}\n{node.GetAttribute('BrainSSLAnomaly.Unit')}")
            legend.GetTitleTextProperty().SetFontSize(14)
            legend.GetLabelTextProperty().SetFontSize(12)
            legend.SetLabelFormat("%.1f")
            legend.SetMaxNumberOfColors(256)
            legend.SetNumberOfLabels(5)
    if legend is not None:
        legend.SetVisibility(on)


def remove_node(node: Node) -> None:
    """Remove a node from the scene with its display and storage nodes, which nobody else uses."""
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
    """Return a copy of a volume's voxels, (k, j, i).

    Args:
        node: the volume.
        what: its name for the error.

    Raises:
        BadResults: the node is gone or empty.
    """
    if node is None or node.GetImageData() is None:
        raise BadResults(f"{what} is no longer in the scene", "detect again")
    array: NDArray = slicer.util.arrayFromVolume(node).copy()
    return array
