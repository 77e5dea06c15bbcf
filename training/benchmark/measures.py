"""Figures of one detection against the truth."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from BrainSSLAnomalyLib.core.settings import DetectionSettings, default_segmentation
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.segmentation import segment
from numpy.typing import NDArray

from .cases import Case
from .lesionwise import LesionWise, count_lesions


@dataclass(frozen=True)
class Measured:
    """Figures of one case.

    Attributes:
        case: its name.
        group: of the case.
        contrasts: of the case.
        detector: in the settings.
        used: what computed the score; another name than ``detector`` where that left the choice
            open.
        lesion_ml: volume of the truth.
        found_ml: volume of the mask at the default settings.
        dice: of that mask. NaN where there is no lesion.
        best_dice: of the best cut of the score for this case, which is unknown in practice.
        average_precision: of the score over the whole image.
        lesionwise: of ``all``, ``small`` and ``large`` lesions, of that mask.
        outside_ml: lesion outside the brain mask.
        findings: their number.
        scan_score: 0 to 1, how unusual the scan is as a whole.
        p_value: of the scan.
        seconds: from scans in memory to findings.
        peak_gb: largest resident memory of a fresh process.
    """

    case: str
    group: str
    contrasts: str
    detector: str
    used: str
    lesion_ml: float
    found_ml: float
    dice: float
    best_dice: float
    average_precision: float
    lesionwise: Mapping[str, LesionWise]
    outside_ml: float
    findings: int
    scan_score: float
    p_value: float
    seconds: float
    peak_gb: float

    @property
    def healthy(self) -> bool:
        """Whether there is no lesion, so that everything found is a false positive."""
        return self.lesion_ml == 0


def try_measure(job: tuple[Case, DetectionSettings]) -> Measured | str:
    """Measure a case, or return in a sentence why that failed.

    One case must not cost the others: the test set is evaluated only so often.
    """
    case, settings = job
    try:
        return measure(case, settings)
    except Exception as error:  # whatever goes wrong in a detector
        name = f"{case.name} ({case.contrasts}, {settings.detector.value})"
        return f"{name}: {type(error).__name__}, {error}"


def measure(case: Case, settings: DetectionSettings) -> Measured:
    """Detect, threshold with the defaults, and compare with the truth.

    Call it in a fresh process: the memory is that of the process.
    """
    study = case.study()
    start = time.perf_counter()
    detection = detect(study, settings)
    found = segment(detection, default_segmentation([scan.modality for scan in detection.inputs]))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    ml = detection.reference.voxel_ml
    lesion = case.lesion()
    truth = np.zeros(found.mask.shape, bool) if lesion is None else lesion
    best, precision = measure_score(detection.anomaly_score, truth)
    return Measured(
        case=case.name,
        group=case.group,
        contrasts=case.contrasts,
        detector=settings.detector.value,
        used=detection.detector.value,
        lesion_ml=float(truth.sum() * ml),
        found_ml=float(found.mask.sum() * ml),
        dice=dice(found.mask, truth) if truth.any() else float("nan"),
        best_dice=best,
        average_precision=precision,
        lesionwise=count_lesions(found.mask, truth, ml),
        outside_ml=float((truth & ~detection.brain_mask).sum() * ml),
        findings=len(found.findings),
        scan_score=found.scan_score,
        p_value=detection.scan_p_value if detection.scan_p_value is not None else float("nan"),
        seconds=seconds,
        peak_gb=peak,
    )


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return 2 |A ∩ B| / (|A| + |B|)."""
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def measure_score(score: NDArray[np.float32], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Measure the best Dice over all cuts of a score, and its average precision.

    Equal scores are cut together. Both are NaN without a lesion.
    """
    if not truth.any():
        return float("nan"), float("nan")
    from sklearn.metrics import average_precision_score, precision_recall_curve

    some = (score > 0) | truth  # the other voxels have equal scores and are never found
    precision, recall, _ = precision_recall_curve(truth[some], score[some])
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    return float(f1[:-1].max()), float(average_precision_score(truth[some], score[some]))
