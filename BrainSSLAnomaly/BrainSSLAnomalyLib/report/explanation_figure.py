"""The figure of an explanation: scan, reconstruction, error, Grad-CAM, attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection, MapName, Segmentation
from .heat_maps import HEAT_MAPS

VISIBLE = 0.02
"""Below this share of its strongest place a map is drawn black."""

_GRADCAM, _ATTENTION = "explained", "attention"

WIDTH = 242
"""Of one picture, in pixels."""

ON_HEAT_COLOUR = "#66ccff"
"""Of an outline over a heat map."""


def explanation_figure(
    detection: Detection,
    finding: Segmentation,
    axis: int,
    gradcam: NDArray[np.float32],
    attention: NDArray[np.float32],
    titles: tuple[str, str],
) -> bytes:
    """Return a PNG of the slice that holds most of a finding, outlined in every panel.

    Args:
        detection: with reconstruction and error among its maps.
        finding: whose mask is that finding alone.
        axis: 0, 1, 2 for an axial, coronal or sagittal slice.
        gradcam: (k, j, i) on the grid of the detection, 0 to 1.
        attention: (k, j, i) on that grid, 1 if everything were attended to alike.
        titles: name of the method, and of the stage.
    """
    # Here, since Slicer may not have Pillow yet when it imports this module.
    from .canvas import GREY, HEAT, Canvas
    from .figures import (
        LETTERS,
        MASK_COLOUR,
        PLANES,
        canonical_view,
        plane_mm,
        plane_of,
    )

    view = canonical_view(detection, finding, {_GRADCAM: gradcam, _ATTENTION: attention})
    n = int(view.mask.sum(tuple(a for a in range(3) if a != axis)).argmax())
    mask = plane_of(view.mask, axis, n)
    most = max(2.0, float(np.percentile(plane_of(view.maps[_ATTENTION], axis, n), 99.5)))
    error_title, error_top = HEAT_MAPS[MapName.ERROR]
    heat = plane_of(view.maps[_GRADCAM], axis, n)
    nothing = "" if float(heat.max()) > VISIBLE else ", nothing here"
    panels = (
        (f"scan, {PLANES[axis]}", view.image, GREY, view.window),
        ("healthy reconstruction", view.maps[MapName.RECONSTRUCTION], GREY, view.window),
        (f"{error_title}, 0 to {error_top:g}", view.maps[MapName.ERROR], HEAT, (0, error_top)),
        (f"{titles[0]} of the {titles[1]}, 0 to 1{nothing}", view.maps[_GRADCAM], HEAT, (0, 1)),
        (f"attention, 0 to {most:.1f} times uniform", view.maps[_ATTENTION], HEAT, (0, most)),
    )
    size = plane_mm(view, axis)
    height = round(WIDTH * size[0] / size[1])
    canvas = Canvas(len(panels), 1, WIDTH, height, titled_rows=1)
    for number, (title, array, colours, window) in enumerate(panels):
        panel = canvas.panel(number, size)
        panel.show(plane_of(array, axis, n), window, colours)
        panel.outline(mask, MASK_COLOUR if colours is GREY else ON_HEAT_COLOUR)
        panel.title(title)
        if number == 0:
            panel.letters(*LETTERS[axis])
    return canvas.png()
