"""What the slice and 3-D views show of a result. Works on nodes alone; a view that is not there is not missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

Node = Any


def show_layers(
    background: Node, maps: Sequence[Node], opacity: float, linked: bool = True
) -> None:
    """The scan with up to two maps over it, in every slice view.

    Args:
        background: the scan, or its reconstruction.
        maps: the first lies over the scan, the second over both where Slicer has a layer for it.
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
        if hasattr(composite, "SetNthLayerVolumeID"):
            composite.SetNthLayerVolumeID(
                _NEXT_LAYER, second.GetID() if second is not None else None
            )
            composite.SetNthLayerOpacity(_NEXT_LAYER, opacity)
        composite.EndModify(modified)


_NEXT_LAYER = 3  # after background, foreground and label


def show_threshold(node: Node, level: float | None) -> None:
    """Hide what is below a level, at once and without touching a voxel; None shows everything."""
    display = node.GetDisplayNode()
    modified = display.StartModify()
    display.SetApplyThreshold(level is not None)
    if level is not None:
        display.SetThreshold(level, max(level, display.GetWindowLevelMax()) + 1e6)
    display.EndModify(modified)


def jump(ras: Sequence[float]) -> None:
    """Every slice view and the crosshair to a place in RAS mm, and the 3-D cameras to look at it."""
    right, anterior, superior = (float(v) for v in ras)
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.JumpSlice(right, anterior, superior)
    for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
        node.SetCrosshairRAS(right, anterior, superior)
    for node in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        camera = node.GetCamera()
        shift = [
            now - before
            for now, before in zip((right, anterior, superior), camera.GetFocalPoint(), strict=True)
        ]
        node.SetPosition(*(p + s for p, s in zip(camera.GetPosition(), shift, strict=True)))
        node.SetFocalPoint(right, anterior, superior)
