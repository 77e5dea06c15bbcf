"""What follows a slider: settings in, mask and findings out, in milliseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy, Region
from ..core.results import Detection, Segmentation
from ..core.settings import SegmentationSettings, ThresholdSettings
from . import findings, morphology, thresholds

SCAN_SCORE_ML = 0.1
"""The scan-level score is the highest score that this much of the brain reaches."""


class Segmenter:
    """Keeps what does not change between two moves of a slider: the brain's box and the maps in it.

    The result depends on the detection and the settings alone, never on what was asked before.
    """

    def __init__(self, detection: Detection) -> None:
        self._detection = detection
        self._shape = detection.brain_mask.shape
        if detection.brain_mask.any():
            self._box = morphology.box_around(detection.brain_mask, [0, 0, 0])
        else:
            self._box = (slice(0, 1), slice(0, 1), slice(0, 1))
        box = self._box
        self._brain = np.ascontiguousarray(detection.brain_mask[box])
        self._score = np.ascontiguousarray(detection.anomaly_score[box])
        self._zscores = {m: np.ascontiguousarray(z[box]) for m, z in detection.zscores.items()}
        anatomy = detection.anatomy
        self._anatomy = PatientAnatomy(
            np.ascontiguousarray(anatomy.regions[box]), np.ascontiguousarray(anatomy.zones[box])
        )
        affine = detection.reference.affine.copy()
        affine[:3, 3] = (affine @ [box[2].start, box[1].start, box[0].start, 1.0])[:3]
        self._affine = affine
        self._scores = thresholds.BrainScores(self._score, self._brain)
        self._scan_score = scan_score(self._score[self._brain], detection.reference.voxel_ml)
        self._region_scores = region_scores(
            self._score, self._anatomy, detection.reference.voxel_ml
        )

    def mask(self, settings: SegmentationSettings) -> NDArray[np.bool_]:
        """(k, j, i) bool, whole grid."""
        return self._whole(self._mask(settings))

    def segment(self, settings: SegmentationSettings) -> Segmentation:
        """Mask, labels and findings, whole grid."""
        mask = self._mask(settings)
        voxel_ml = self._detection.reference.voxel_ml
        labels, found = findings.describe(
            findings.label(mask), self._score, self._zscores, self._anatomy, self._affine, voxel_ml
        )
        return Segmentation(
            self._whole(mask), self._whole(labels), found, self._scan_score, self._region_scores
        )

    def level(self, settings: ThresholdSettings) -> float:
        """The lowest score that these settings can mark: what a display may hide at once, before there is a mask."""
        return thresholds.level(settings, self._scores)

    def _mask(self, settings: SegmentationSettings) -> NDArray[np.bool_]:
        reference = self._detection.reference
        marked = thresholds.apply(self._score, self._brain, settings.threshold, self._scores)
        return morphology.apply(
            marked, self._brain, reference.spacing, reference.voxel_ml, settings.morphology
        )

    def _whole(self, cropped: NDArray) -> NDArray:
        array = np.zeros(self._shape, cropped.dtype)
        array[self._box] = cropped
        return array


def segment(detection: Detection, settings: SegmentationSettings) -> Segmentation:
    """Mask and findings of a detection. The same as a `Segmenter` gives."""
    return Segmenter(detection).segment(settings)


def scan_score(scores: NDArray[np.float32], voxel_ml: float) -> float:
    """The highest score that `SCAN_SCORE_ML` of the brain reaches, 0–1."""
    rank = max(1, round(SCAN_SCORE_ML / voxel_ml))
    if scores.size < rank:
        return 0.0
    return float(-np.partition(-scores, rank - 1)[rank - 1])


def region_scores(
    score: NDArray[np.float32], anatomy: PatientAnatomy, voxel_ml: float
) -> dict[str, float]:
    """Region in words → the highest score that `SCAN_SCORE_ML` of it reaches; regions under 0.5 ml are left out."""
    flat = anatomy.regions.ravel()
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(len(Region) + 1))
    values = score.ravel()[order]
    return {
        region.words: round(scan_score(values[bounds[region] : bounds[region + 1]], voxel_ml), 4)
        for region in Region
        if region is not Region.OUTSIDE and (bounds[region + 1] - bounds[region]) * voxel_ml >= 0.5
    }
