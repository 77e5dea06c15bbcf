"""What comes out: the maps of one detection, and the findings made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from .anatomy import PatientAnatomy
from .study import Modality, Scan, Volume


class MapName(str, Enum):
    """What a network adds to a detection; the value is the file's name."""

    RECONSTRUCTION = "reconstruction"
    """What a healthy brain of this patient would look like, in the units of the reference scan."""
    ERROR = "reconstruction_error"
    """Absolute difference to that, in standard deviations of the parenchyma; mean of the modalities."""
    LATENT = "latent_distance"
    """Cosine distance of each 16 mm patch's embedding from the healthy mean: 0 like it, 1 unlike it, 2 opposite."""
    UNCERTAINTY = "uncertainty"
    """Standard deviation of the anomaly logit over orientations and test-time copies."""
    GRADCAM = "gradcam"
    """0 to 1: where the network looked for what it marked."""


@dataclass(frozen=True)
class LookedAt:
    """What a network looked at: with it a single finding can be explained later.

    Attributes:
        images: modality → (k, j, i) float32, normalised, 0 outside the brain, on the network's own grid.
        affine: of that grid, (i, j, k) → RAS mm.
        axis: 0, 1 or 2 for k, j, i: across which slices are explained.
    """

    images: Mapping[Modality, NDArray[np.float32]]
    affine: NDArray[np.float64]
    axis: int


@dataclass(frozen=True)
class Detection:
    """Everything slow, done once; thresholds, masks, findings and pictures follow from it in milliseconds.

    All arrays are (k, j, i) on the grid of ``reference``.

    Attributes:
        reference: the scan in whose grid results are written, untouched intensities.
        modality: contrast of the reference.
        anomaly_score: float32, 0 to 1; 0 outside the brain.
        brain_mask: bool.
        zscores: float32 per modality, robust standard deviations from healthy; positive is brighter.
        anatomy: regions and zones.
        detector: name of the detector, e.g. ``statistical``.
        inputs: every scan with source, SHA-256 and how its modality was guessed (volumes need not be kept).
        seconds: per stage.
        warnings: sentences for the report, e.g. a brain volume out of range.
        scan_p_value: share of healthy calibration scans at least as unusual as this one, or None where unknown.
        maps: float32 by name, what a network adds; empty for the statistical detector.
        facts: plain numbers and words worth keeping: brain volume in ml, registration summary, calibration version.
        looked_at: what the network looked at, where it has explained itself; on its own grid.
    """

    reference: Volume
    modality: Modality
    anomaly_score: NDArray[np.float32]
    brain_mask: NDArray[np.bool_]
    zscores: Mapping[Modality, NDArray[np.float32]]
    anatomy: PatientAnatomy
    detector: str
    inputs: tuple[Scan, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scan_p_value: float | None = None
    maps: Mapping[MapName, NDArray[np.float32]] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    looked_at: LookedAt | None = None


@dataclass(frozen=True)
class Deviation:
    """How a finding differs from healthy in one modality.

    Attributes:
        modality: the contrast.
        zscore: median robust z inside the finding, in SD; positive is brighter than healthy.
    """

    modality: Modality
    zscore: float

    @property
    def words(self) -> str:
        """E.g. ``brighter than healthy on FLAIR, +4.2 SD``, or ``like healthy on T1, +0.3 SD``."""
        kind = (
            "like healthy"
            if abs(self.zscore) < 1
            else "brighter than healthy"
            if self.zscore > 0
            else "darker than healthy"
        )
        return f"{kind} on {self.modality.value}, {self.zscore:+.1f} SD".replace("-", "−")


@dataclass(frozen=True)
class Finding:
    """One connected region of the mask.

    Attributes:
        number: 1 for the most anomalous finding, rising.
        volume_ml: in millilitres.
        centroid_ras: (right, anterior, superior) in mm.
        extent_ras: size of the bounding box along right, anterior, superior, in mm.
        peak_ras: place of the highest score, in mm.
        peak_score: highest anomaly score, 0 to 1.
        mean_score: mean anomaly score, 0 to 1.
        place: in words, e.g. ``left frontal lobe, periventricular``.
        deviations: one per modality, strongest first.
        certainty: ``high``, ``moderate`` or ``low``.
    """

    number: int
    volume_ml: float
    centroid_ras: tuple[float, float, float]
    extent_ras: tuple[float, float, float]
    peak_ras: tuple[float, float, float]
    peak_score: float
    mean_score: float
    place: str
    deviations: tuple[Deviation, ...]
    certainty: str


@dataclass(frozen=True)
class Segmentation:
    """A mask with its findings.

    Attributes:
        mask: (k, j, i) bool, on the grid of the detection.
        labels: (k, j, i) int32, the number of the finding, 0 elsewhere.
        findings: most anomalous first.
        scan_score: 0 to 1, how unusual the scan is as a whole.
        region_scores: region in words → the score that 0.1 ml of it reaches.
    """

    mask: NDArray[np.bool_]
    labels: NDArray[np.int32]
    findings: tuple[Finding, ...]
    scan_score: float
    region_scores: Mapping[str, float] = field(default_factory=dict)
