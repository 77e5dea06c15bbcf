"""Colour tables of the layers, added once to a scene and saved with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .layers import DEVIATION, GREY, HEAT, SCORE

ATTRIBUTE = "BrainSSLAnomaly.Colours"
_SIZE = 256
_STOPS: dict[str, tuple[tuple[float, float, float, float, float], ...]] = {
    # Position, red, green, blue, opacity; lightness rises all the way, also for the colour-blind.
    SCORE: (
        (0.00, 0.05, 0.02, 0.15, 0.00),
        (0.10, 0.20, 0.04, 0.38, 0.45),
        (0.35, 0.58, 0.12, 0.40, 0.85),
        (0.60, 0.88, 0.32, 0.20, 1.00),
        (0.85, 0.98, 0.70, 0.15, 1.00),
        (1.00, 0.99, 0.99, 0.70, 1.00),
    ),
    DEVIATION: (
        (0.00, 0.55, 0.95, 1.00, 1.00),
        (0.25, 0.10, 0.45, 0.90, 1.00),
        (0.40, 0.15, 0.25, 0.55, 0.35),
        (0.45, 0.30, 0.30, 0.35, 0.00),
        (0.55, 0.35, 0.30, 0.30, 0.00),
        (0.60, 0.55, 0.20, 0.15, 0.35),
        (0.75, 0.90, 0.35, 0.10, 1.00),
        (1.00, 1.00, 0.95, 0.45, 1.00),
    ),
    # Slice views take any opacity above 0 as 1: low values are left out to show the scan.
    HEAT: (
        (0.00, 0.27, 0.00, 0.33, 0.00),
        (0.15, 0.28, 0.14, 0.46, 0.00),
        (0.16, 0.28, 0.15, 0.47, 1.00),
        (0.35, 0.19, 0.41, 0.56, 1.00),
        (0.60, 0.13, 0.62, 0.54, 1.00),
        (0.85, 0.56, 0.84, 0.27, 1.00),
        (1.00, 0.99, 0.91, 0.14, 1.00),
    ),
}
_TITLES = {
    SCORE: "Anomaly score",
    DEVIATION: "Deviation from healthy",
    HEAT: "Network map",
}
_SLICERS_GREY = "vtkMRMLColorTableNodeGrey"


def colour_node(scene: Any, name: str) -> Any:
    """Return the colour table of this name in the scene, added when it is not there.

    Args:
        scene: a ``vtkMRMLScene``.
        name: `SCORE`, `DEVIATION`, `HEAT`, or `GREY`, which is Slicer's own.
    """
    if name == GREY:
        return scene.GetNodeByID(_SLICERS_GREY)
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetAttribute(ATTRIBUTE) == name:
            return node
    stops = np.array(_STOPS[name])
    where = np.linspace(0, 1, _SIZE)
    table = np.stack(
        [np.interp(where, stops[:, 0], stops[:, channel]) for channel in range(1, 5)], axis=1
    )
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(_TITLES[name])
    node.SetAttribute("Category", "BrainSSLAnomaly")
    node.SetAttribute(ATTRIBUTE, name)
    node.SetNumberOfColors(_SIZE)
    for index, (red, green, blue, opacity) in enumerate(table):
        node.SetColor(index, f"{index}", float(red), float(green), float(blue), float(opacity))
    node.SetHideFromEditors(False)
    return scene.AddNode(node)
