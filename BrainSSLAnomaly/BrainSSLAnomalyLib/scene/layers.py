"""Which maps of a detection are shown, under which name and in which colours: one row a kind, nothing else to change for a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection, MapName
from ..report.figures import HEAT_MAPS

SCORE, DEVIATION, HEAT, GREY = "score", "deviation", "heat", "grey"
"""Colour tables: from nothing to bright, blue – nothing – red, from nothing over green to yellow, and that of scans."""


@dataclass(frozen=True)
class Layer:
    """One map that can lie over the scan.

    Attributes:
        key: unique among the layers of a detection, e.g. ``zscore-FLAIR``; also its role in the scene.
        title: what users read, e.g. ``z on FLAIR``.
        colours: `SCORE`, `DEVIATION`, `HEAT` or `GREY`.
        window: values at the ends of the colour table; None for those of the scan.
        unit: of the values, for the legend.
        array: (k, j, i) float32 on the grid of the detection.
    """

    key: str
    title: str
    colours: str
    window: tuple[float, float] | None
    unit: str
    array: NDArray[np.float32]


@dataclass(frozen=True)
class _Kind:
    key: str
    title: str
    colours: str
    window: tuple[float, float] | None
    unit: str
    maps: Callable[[Detection], Mapping[str, NDArray[np.float32]]]
    """Detection → name of the map within its kind ('' where there is one only) → array."""


def _network(name: MapName, title: str, unit: str) -> _Kind:
    """A map that a network adds; the reconstruction is seen as the scan is, the others as in the report."""
    colours, window = (HEAT, (0.0, HEAT_MAPS[name][1])) if name in HEAT_MAPS else (GREY, None)
    return _Kind(
        name.value,
        title,
        colours,
        window,
        unit,
        lambda d: {"": d.maps[name]} if name in d.maps else {},
    )


_KINDS = (
    _Kind("score", "anomaly score", SCORE, (0.0, 1.0), "0–1", lambda d: {"": d.anomaly_score}),
    _Kind(
        "zscore",
        "z on",
        DEVIATION,
        (-8.0, 8.0),
        "SD",
        lambda d: {m.value: z for m, z in d.zscores.items()},
    ),
    _network(MapName.RECONSTRUCTION, "reconstruction", "as the scan"),
    _network(MapName.ERROR, "reconstruction error", "SD"),
    _network(MapName.LATENT, "feature distance", "cosine, 0–2"),
    _network(MapName.UNCERTAINTY, "uncertainty", "SD of the logit"),
    _network(MapName.GRADCAM, "Grad-CAM of all findings", "0–1"),
    _Kind(
        "finding",
        "Grad-CAM of finding",
        HEAT,
        (0.0, HEAT_MAPS[MapName.GRADCAM][1]),
        "0–1, within this finding's map",
        lambda d: {},
    ),
)

MAIN = _KINDS[0].key
"""The layer that is shown first, and that the threshold cuts."""


FINDING = _KINDS[-1].key
"""The layer of the one finding that was last asked about. No detection holds it: findings come and go with the threshold."""


def finding_layer(number: int, heat: NDArray[np.float32]) -> Layer:
    """The Grad-CAM of one finding.

    Args:
        number: of the finding.
        heat: (k, j, i) on the grid of the detection, 0 to 1.
    """
    kind = _KINDS[-1]
    return Layer(kind.key, f"{kind.title} {number}", kind.colours, kind.window, kind.unit, heat)


def rank(key: str) -> int:
    """Where the key of a layer stands among all."""
    return [kind.key for kind in _KINDS].index(key.split("-")[0])


def layers_of(detection: Detection) -> tuple[Layer, ...]:
    """Every map that this detection holds, the main one first."""
    return tuple(
        Layer(
            f"{kind.key}-{name}" if name else kind.key,
            f"{kind.title} {name}".strip(),
            kind.colours,
            kind.window,
            kind.unit,
            array,
        )
        for kind in _KINDS
        for name, array in kind.maps(detection).items()
    )
