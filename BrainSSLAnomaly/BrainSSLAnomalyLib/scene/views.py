"""Layers, threshold and place in the slice and 3-D views, through nodes alone."""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from .grids import Node

NEXT_LAYER = 3
"""Index of the layer after background, foreground and label."""


def show_layers(
    background: Node, maps: Sequence[Node], opacity: float, linked: bool = True
) -> None:
    """Show the scan with up to two maps over it, in every slice view.

    Args:
        background: the scan, or its reconstruction.
        maps: the first lies over the scan, the second over both.
        opacity: of the maps, 0–1.
        linked: whether the views change together from now on.
    """
    first, second = [*maps, None, None][:2]
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        modified = composite.StartModify()
        composite.SetLinkedControl(linked)
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(first.GetID() if first is not None else None)
        composite.SetForegroundOpacity(opacity)
        composite.SetNthLayerVolumeID(NEXT_LAYER, second.GetID() if second is not None else None)
        composite.SetNthLayerOpacity(NEXT_LAYER, opacity)
        composite.EndModify(modified)


def show_threshold(node: Node, level: float | None) -> None:
    """Hide values below a level, at once and without changing a voxel; None shows everything."""
    display = node.GetDisplayNode()
    modified = display.StartModify()
    display.SetApplyThreshold(level is not None)
    if level is not None:
        display.SetThreshold(level, max(level, display.GetWindowLevelMax()) + 1e6)
    display.EndModify(modified)


def jump_to(ras: Sequence[float]) -> None:
    """Move slice views, crosshair and the focus of 3-D cameras to a place in RAS mm."""
    right, anterior, superior = (float(v) for v in ras)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSlice(right, anterior, superior)
    for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
        node.SetCrosshairRAS(right, anterior, superior)
    for node in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        camera = node.GetCamera()
        focus = camera.GetFocalPoint()
        shift = [n - o for n, o in zip((right, anterior, superior), focus, strict=True)]
        node.SetPosition(*(p + s for p, s in zip(camera.GetPosition(), shift, strict=True)))
        node.SetFocalPoint(right, anterior, superior)
