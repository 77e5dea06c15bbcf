"""The lesions of the synthetic patient: where they lie, and how bright they are."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from ..core.study import Modality


class LesionKind(Enum):
    """Name what a lesion looks like."""

    DEMYELINATED = "MS-like plaque"
    HYPERINTENSITY = "confluent white-matter hyperintensity"
    TUMOUR = "tumour with oedema"


class Lesion(NamedTuple):
    """Describe one lesion of the synthetic patient.

    Attributes:
        kind: what it looks like.
        centre: of it, in template RAS mm.
        radii_mm: half axes of the ellipsoid, along its own long axis and across it.
        axis: direction of the long axis (right, anterior, superior).
        place: in words.
    """

    kind: LesionKind
    centre: tuple[float, float, float]
    radii_mm: tuple[float, float]
    axis: tuple[float, float, float]
    place: str


_MS, _WMH, _TUMOUR = LesionKind.DEMYELINATED, LesionKind.HYPERINTENSITY, LesionKind.TUMOUR

LESIONS = (
    Lesion(_TUMOUR, (34, -46, 42), (10.0, 8.5), (0, 1, 0.3), "right parietal lobe"),
    Lesion(_WMH, (-25, 20, 24), (13.0, 6.5), (0, 1, 0.2), "left frontal lobe, deep"),
    Lesion(_MS, (-27, -42, 30), (8.0, 4.2), (-1, 0, 0.5), "left parietal lobe, near the ventricle"),
    Lesion(_MS, (21, 25, 13), (7.5, 4.0), (1, 0.4, 0.4), "right frontal lobe, near the ventricle"),
    Lesion(_MS, (-34, -15, 42), (6.0, 4.2), (0, 1, 0), "left frontal lobe, near the cortex"),
    Lesion(_MS, (24, 7, 29), (6.0, 4.4), (0.5, 1, 0), "right frontal lobe, deep"),
    Lesion(_MS, (-42, -34, -10), (6.0, 4.2), (0, 1, 0), "left temporal lobe, near the ventricle"),
    Lesion(_MS, (-29, -81, 10), (5.5, 4.2), (0, 1, 0), "left occipital lobe, near the cortex"),
)
"""Code n + 1 of the lesion map is the n-th of these."""

CORE_CODE = len(LESIONS) + 1
"""Code of the solid part of the tumour; the rest of the tumour is its oedema."""

LESION_BRIGHTNESS: Mapping[Modality, Mapping[LesionKind, float]] = {
    Modality.FLAIR: {
        LesionKind.DEMYELINATED: 1.42,
        LesionKind.HYPERINTENSITY: 1.32,
        LesionKind.TUMOUR: 1.30,
    },
    Modality.T1: {
        LesionKind.DEMYELINATED: 0.66,
        LesionKind.HYPERINTENSITY: 0.78,
        LesionKind.TUMOUR: 0.74,
    },
    Modality.T2: {
        LesionKind.DEMYELINATED: 1.12,
        LesionKind.HYPERINTENSITY: 1.00,
        LesionKind.TUMOUR: 1.12,
    },
}
"""Of a lesion, and of the oedema of the tumour, on the scale of `TISSUE_BRIGHTNESS`."""

CORE_BRIGHTNESS = {Modality.FLAIR: 1.20, Modality.T1: 0.52, Modality.T2: 1.25}
"""Of the solid part of the tumour."""
