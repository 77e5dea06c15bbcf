"""The figure of an explanation: scan, reconstruction, error, Grad-CAM, attention."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection, MapName, Segmentation
from .figures import (
    HEAT,
    HEAT_MAPS,
    MASK_COLOUR,
    canonical_view,
    letters,
    new_figure,
    pixel_aspect,
    plane_aspect,
    plane_of,
    to_png,
)

VISIBLE = 0.02
"""Below this share of its strongest place a map is drawn black."""

_GRADCAM, _ATTENTION = "explained", "attention"
_PLANES = ("axial", "coronal", "sagittal")
_LETTERS = ((("R", "L"), ("A", "P")), (("R", "L"), ("S", "I")), (("P", "A"), ("S", "I")))


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
    view = canonical_view(detection, finding, {_GRADCAM: gradcam, _ATTENTION: attention})
    n = int(view.mask.sum(tuple(a for a in range(3) if a != axis)).argmax())
    mask, shape = plane_of(view.mask, axis, n), pixel_aspect(view, axis)
    most = max(2.0, float(np.percentile(plane_of(view.maps[_ATTENTION], axis, n), 99.5)))
    error_title, error_top = HEAT_MAPS[MapName.ERROR]
    heat = plane_of(view.maps[_GRADCAM], axis, n)
    nothing = "" if float(heat.max()) > VISIBLE else ", nothing here"
    panels = (
        (f"scan, {_PLANES[axis]}", view.image, "gray", view.window),
        ("healthy reconstruction", view.maps[MapName.RECONSTRUCTION], "gray", view.window),
        (f"{error_title}, 0–{error_top:g}", view.maps[MapName.ERROR], HEAT, (0, error_top)),
        (f"{titles[0]} of the {titles[1]}, 0–1{nothing}", view.maps[_GRADCAM], HEAT, (0, 1)),
        (f"attention, 0–{most:.1f} × uniform", view.maps[_ATTENTION], HEAT, (0, most)),
    )
    figure, axes = new_figure(len(panels), 1, 2.2, 1.08 * plane_aspect(view, axis))
    for ax, (title, array, colours, (low, high)) in zip(axes, panels, strict=True):
        ax.imshow(
            plane_of(array, axis, n),
            cmap=colours,
            vmin=low,
            vmax=high,
            origin="lower",
            aspect=shape,
        )
        ax.contour(
            mask,
            levels=[0.5],
            colors=[MASK_COLOUR if colours == "gray" else "#66ccff"],
            linewidths=0.7,
        )
        ax.set_title(title, fontsize=6, color="#bbbbbb", pad=2)
    figure.subplots_adjust(top=0.92)
    letters(axes[0], *_LETTERS[axis])
    return to_png(figure)
