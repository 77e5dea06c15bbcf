"""The output: the maps of one detection, and the findings made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from .anatomy import PatientAnatomy
from .grid import Grid
from .progress import StageTime
from .settings import AnatomySource, DetectionSettings, DetectorName, ScoreName
from .study import Modality, Scan, Volume


class MapName(str, Enum):
    """Name a map that a network adds to a detection; the value is the name of its file."""

    RECONSTRUCTION = "reconstruction"
    """The predicted healthy brain of this patient, in the units of the reference scan."""
    ERROR = "reconstruction_error"
    """Absolute difference to it, in SD of the parenchyma; mean of the modalities."""
    LATENT = "latent_distance"
    """Cosine distance of each 16 mm patch's embedding from the healthy mean, 0 to 2."""
    UNCERTAINTY = "uncertainty"
    """Standard deviation of the anomaly logit over orientations and test-time copies."""
    GRADCAM = "gradcam"
    """What raises the network's logit where the score is above 0.5, 0 to 1 (HiResCAM)."""


@dataclass(frozen=True)
class NetworkInput:
    """Hold what a network predicts from; with it a single finding can be explained later.

    Attributes:
        images: modality → (k, j, i) float32 on the network's own grid, whose axes rise to
            superior, anterior and right; parenchyma has mean 0 and SD 1, 0 outside the brain.
        affine: of that grid, (i, j, k) → RAS mm.
        axes: 0, 1 or 2 for k, j, i: across which slices are predicted; explanations use the first.
    """

    images: Mapping[Modality, NDArray[np.float32]]
    affine: NDArray[np.float64]
    axes: tuple[int, ...]

    @property
    def grid(self) -> Grid:
        """Return the network's own grid."""
        return Volume(next(iter(self.images.values())), self.affine).grid


@dataclass(frozen=True)
class Provenance:
    """Record what a detection was made with.

    Attributes:
        score: which score became the anomaly score.
        settings: that the detection was started with.
        anatomy: what found the brain and its parts.
        brain_volume_ml: of the brain mask.
        skull_stripped: whether the scans came without skull.
        healthy_scans: number of healthy scans behind the exceedance table.
        template_to_reference: (4, 4), RAS mm of the template → RAS mm of the reference scan.
    """

    score: ScoreName
    settings: DetectionSettings
    anatomy: AnatomySource
    brain_volume_ml: float
    skull_stripped: bool
    healthy_scans: int
    template_to_reference: NDArray[np.float64]


@dataclass(frozen=True)
class Detection:
    """Hold everything slow; thresholds, masks and findings follow from it in milliseconds.

    All arrays are (k, j, i) on the grid of ``reference``.

    Attributes:
        reference: the scan on whose grid the results are, with its own intensities.
        modality: contrast of the reference.
        anomaly_score: float32, 0 to 1; 0 outside the brain.
        brain_mask: bool.
        zscores: float32 per modality, robust standard deviations from healthy; positive is
            brighter.
        anatomy: regions and zones.
        detector: the detector that ran.
        inputs: every scan with source, SHA-256 and how its modality was guessed (volumes need not
            be kept).
        times: of each stage; no second counts twice.
        warnings: sentences for the report, e.g. a brain volume out of range.
        scan_p_value: share of healthy calibration scans that are at least as unusual as this one,
            or None where unknown.
        maps: float32 by name, added by a network; empty for the statistical detector.
        provenance: what it was made with, or None for data made by hand.
        network_input: what the network predicted from, if explanations are on; on its own grid.
    """

    reference: Volume
    modality: Modality
    anomaly_score: NDArray[np.float32]
    brain_mask: NDArray[np.bool_]
    zscores: Mapping[Modality, NDArray[np.float32]]
    anatomy: PatientAnatomy
    detector: DetectorName
    inputs: tuple[Scan, ...] = ()
    times: Mapping[str, StageTime] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scan_p_value: float | None = None
    maps: Mapping[MapName, NDArray[np.float32]] = field(default_factory=dict)
    provenance: Provenance | None = None
    network_input: NetworkInput | None = None


@dataclass(frozen=True)
class Deviation:
    """Describe how a finding differs from healthy in one modality.

    Attributes:
        modality: the contrast.
        zscore: median robust z inside the finding, in SD; positive is brighter than healthy.
    """

    modality: Modality
    zscore: float

    @property
    def words(self) -> str:
        """Return the deviation in words, e.g. ``brighter than healthy on FLAIR, +4.2 SD``."""
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
    """Describe one connected region of the mask.

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
        confidence: ``high``, ``moderate`` or ``low``.
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
    confidence: str


@dataclass(frozen=True)
class Segmentation:
    """Hold a mask with its findings.

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
