"""The live half: from settings to mask and findings, in milliseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy, Region
from ..core.grid import bounding_box, embed, level_reached
from ..core.results import Detection, Segmentation
from ..core.settings import SegmentationSettings, ThresholdSettings, default_segmentation
from . import findings, morphology, thresholds

SCAN_SCORE_ML = 0.1
"""The score of a scan is the highest that this much of the brain reaches."""

MIN_REGION_ML = 0.5
"""Smaller regions have no score."""


class Segmenter:
    """Segment one detection; keeps what does not change when a slider moves.

    The result depends on the detection and the settings alone, never on earlier calls.

    Args:
        detection: to segment.
    """

    def __init__(self, detection: Detection) -> None:
        self._shape = detection.reference.grid.shape
        if detection.brain_mask.any():
            self._box = bounding_box(detection.brain_mask)
        else:
            self._box = (slice(0, 1), slice(0, 1), slice(0, 1))
        box = self._box
        self._grid = detection.reference.grid.crop(box)
        self._brain = np.ascontiguousarray(detection.brain_mask[box])
        self._score = np.ascontiguousarray(detection.anomaly_score[box])
        self._zscores = {m: np.ascontiguousarray(z[box]) for m, z in detection.zscores.items()}
        self._anatomy = PatientAnatomy(
            regions=np.ascontiguousarray(detection.anatomy.regions[box]),
            zones=np.ascontiguousarray(detection.anatomy.zones[box]),
        )
        voxel_ml = self._grid.voxel_ml
        self._scores = thresholds.BrainScores(self._score, self._brain)
        self._scan_score = level_reached(self._score[self._brain], SCAN_SCORE_ML, voxel_ml)
        self._region_scores = region_scores(self._score, self._anatomy, voxel_ml)

    def mask(self, settings: SegmentationSettings) -> NDArray[np.bool_]:
        """Return the mask, (k, j, i) bool, on the grid of the detection."""
        return self._on_whole_grid(self._mask(settings))

    def segment(self, settings: SegmentationSettings) -> Segmentation:
        """Return mask, labels and findings, on the grid of the detection."""
        mask = self._mask(settings)
        labels, found = findings.describe_findings(
            findings.label_regions(mask), self._score, self._zscores, self._anatomy, self._grid
        )
        return Segmentation(
            mask=self._on_whole_grid(mask),
            labels=self._on_whole_grid(labels),
            findings=found,
            scan_score=self._scan_score,
            region_scores=self._region_scores,
        )

    def lowest_level(self, settings: ThresholdSettings) -> float:
        """Return the lowest score that can be marked, for a display that follows at once."""
        return thresholds.lowest_level(settings, self._scores)

    def _mask(self, settings: SegmentationSettings) -> NDArray[np.bool_]:
        marked = thresholds.apply(self._score, self._brain, settings.threshold, self._scores)
        spacing, voxel_ml = self._grid.spacing, self._grid.voxel_ml
        return morphology.apply(marked, self._brain, spacing, voxel_ml, settings.morphology)

    def _on_whole_grid(self, array: NDArray) -> NDArray:
        return embed(array, self._box, self._shape)


def segment(detection: Detection, settings: SegmentationSettings | None = None) -> Segmentation:
    """Return mask and findings of a detection, the same as a `Segmenter` returns.

    Args:
        detection: to segment.
        settings: threshold and morphology; the defaults for the contrasts of the detection if None.

    Example:
        >>> from BrainSSLAnomalyLib import read_results, segment
        >>> detection = read_results("results").detection
        >>> segmentation = segment(detection)
        >>> sum(f.volume_ml for f in segmentation.findings) > 0
        True
    """
    if settings is None:
        settings = default_segmentation([scan.modality for scan in detection.inputs])
    return Segmenter(detection).segment(settings)


def region_scores(
    score: NDArray[np.float32], anatomy: PatientAnatomy, voxel_ml: float
) -> dict[str, float]:
    """Return the score that `SCAN_SCORE_ML` of each region reach.

    Args:
        score: (k, j, i), anomaly score.
        anatomy: on the same grid.
        voxel_ml: volume of a voxel, in ml.

    Returns:
        Region in words → score; regions under `MIN_REGION_ML` are left out.
    """
    flat = anatomy.regions.ravel()
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(len(Region) + 1))
    values = score.ravel()[order]
    scores = {}
    for region in Region:
        first, last = bounds[region], bounds[region + 1]
        if region is not Region.OUTSIDE and (last - first) * voxel_ml >= MIN_REGION_ML:
            level = level_reached(values[first:last], SCAN_SCORE_ML, voxel_ml)
            scores[region.words] = round(level, 4)
    return scores
