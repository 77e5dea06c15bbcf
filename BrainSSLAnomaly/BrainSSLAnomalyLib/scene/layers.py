"""The maps of a detection as layers: one row a kind with name, colours and window.

A new kind of map needs a new row here, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection, MapName
from ..report.heat_maps import HEAT_MAPS

SCORE, DEVIATION, HEAT, GREY = "score", "deviation", "heat", "grey"
"""Colour tables: from nothing to bright; blue – nothing – red; over green to yellow; as scans."""


@dataclass(frozen=True)
class Layer:
    """Describe one map that can lie over the scan.

    Attributes:
        key: unique among the layers of a detection, e.g. ``zscore-FLAIR``; also its role in the
            scene.
        title: for users, e.g. ``z on FLAIR``.
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
    """Describe a kind of layer; ``maps`` returns its arrays by name, '' where there is only one."""

    key: str
    title: str
    colours: str
    window: tuple[float, float] | None
    unit: str
    maps: Callable[[Detection], Mapping[str, NDArray[np.float32]]]


def _network(name: MapName, title: str, unit: str) -> _Kind:
    """Return the kind of a network map, drawn as in the report; the reconstruction as the scan."""
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
"""The layer that is shown first, and that the threshold is applied to."""


FINDING = _KINDS[-1].key
"""The layer of the finding that was last explained; no detection holds it, since findings come and
go with the threshold."""


def finding_layer(number: int, heat: NDArray[np.float32]) -> Layer:
    """Return the Grad-CAM of one finding as a layer.

    Args:
        number: of the finding.
        heat: (k, j, i) on the grid of the detection, 0 to 1.
    """
    kind = _KINDS[-1]
    return Layer(kind.key, f"{kind.title} {number}", kind.colours, kind.window, kind.unit, heat)


def rank(key: str) -> int:
    """Return the position of a layer's key among all kinds."""
    return [kind.key for kind in _KINDS].index(key.split("-")[0])


def layers_of(detection: Detection) -> tuple[Layer, ...]:
    """Return every map of a detection as a layer, the main one first."""
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
