"""Which maps of a network are drawn, and on which scale; needs no package that draws."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.results import MapName

HEAT_MAPS: Mapping[MapName, tuple[str, float]] = {
    MapName.ERROR: ("reconstruction error, SD", 4.0),
    MapName.GRADCAM: ("Grad-CAM", 1.0),
    MapName.LATENT: ("feature distance", 1.5),
    MapName.UNCERTAINTY: ("uncertainty, logit SD", 3.0),
}
"""Maps of a network: title, and the value that is drawn brightest."""
