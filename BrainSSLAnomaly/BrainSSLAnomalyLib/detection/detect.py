"""The pipeline: from a study to a detection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ..core.progress import Progress, StageClock, ignore_progress
from ..core.results import Detection, Provenance
from ..core.settings import AnatomySource, DetectionSettings, DetectorName
from ..core.study import Modality, Study
from ..preparation import AnatomyPredictor, PreparedStudy, prepare
from .method import DetectionMethod, ScoreMaps
from .statistical_detector import StatisticalDetector

USUAL_BRAIN_ML = (700.0, 2200.0)
"""Outside these volumes the report warns: the brain mask may be wrong."""

LOAD = "Loading the networks"

_PREPARATION_SHARE = {DetectorName.STATISTICAL: 0.7, DetectorName.HYBRID: 0.45}
"""Of the time of a detection that preparation takes, for the progress bar."""


def detect(
    study: Study,
    settings: DetectionSettings | None = None,
    progress: Progress = ignore_progress,
) -> Detection:
    """Find what is unusual in a study.

    For many studies with the same settings make a `Detector`.

    Args:
        study: the scans of one patient, any subset of modalities.
        settings: which detector, and how to prepare; the defaults if None.
        progress: receives the stage and the fraction done; may raise `Cancelled`.

    Returns:
        The anomaly score and everything that explains it, on the grid of the reference scan.

    Raises:
        PreparationFailed: no brain was found.
        BadSettings: no such device.

    Example:
        >>> from BrainSSLAnomalyLib import read_study
        >>> study = read_study({"FLAIR": "flair.nii.gz"})
        >>> detection = detect(study, DetectionSettings(DetectorName.STATISTICAL))
        >>> detection.anomaly_score.shape == study.reference.volume.array.shape
        True
    """
    progress(LOAD, 0.0)
    clock = StageClock()
    with clock.stage(LOAD):
        detector = Detector(settings)
    detection = detector.detect(study, progress)
    return replace(detection, times={**clock.times, **detection.times})


class Detector:
    """Find what is unusual in many studies; the networks are loaded once.

    Args:
        settings: which detector, and how to prepare; the defaults if None.

    Raises:
        BadSettings: no such device.

    Example:
        >>> from BrainSSLAnomalyLib import Detector, read_study
        >>> detector = Detector(DetectionSettings(DetectorName.STATISTICAL))
        >>> first = detector.detect(read_study({"FLAIR": "flair.nii.gz"}))
        >>> second = detector.detect(read_study({"T1": "t1.nii.gz"}))
        >>> first.modality.value, second.modality.value
        ('FLAIR', 'T1')
    """

    def __init__(self, settings: DetectionSettings | None = None) -> None:
        self.settings = settings or DetectionSettings()
        self._method = choose_method(self.settings)
        self._predictor = anatomy_predictor(self.settings)

    def detect(self, study: Study, progress: Progress = ignore_progress) -> Detection:
        """Find what is unusual in a study; arguments, result and errors as those of `detect`."""
        method, settings = self._method, self.settings
        share = _PREPARATION_SHARE[method.name]
        with _itk_threads(settings.threads):
            prepared = prepare(
                study,
                predictor=self._predictor,
                correct_bias=settings.correct_bias,
                progress=lambda stage, fraction: progress(stage, fraction * share),
            )
            scores = method.score(
                prepared, lambda stage, fraction: progress(stage, share + (1 - share) * fraction)
            )
        has_parcellation = self._predictor is not None
        return _make_detection(study, settings, prepared, has_parcellation, method, scores)


@contextmanager
def _itk_threads(count: int) -> Iterator[None]:
    """Let SimpleITK use so many threads within the block; all that there are if 0."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    if count:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _make_detection(
    study: Study,
    settings: DetectionSettings,
    prepared: PreparedStudy,
    has_parcellation: bool,
    method: DetectionMethod,
    scores: ScoreMaps,
) -> Detection:
    brain_ml = float(prepared.brain_mask.sum()) * prepared.reference.voxel_ml
    return Detection(
        reference=prepared.reference,
        modality=study.reference.modality,
        anomaly_score=scores.anomaly_score,
        brain_mask=prepared.brain_mask,
        zscores=scores.zscores,
        anatomy=prepared.anatomy,
        detector=method.name,
        inputs=tuple(study.scans[m] for m in study.modalities),
        times={**prepared.times, **scores.times},
        warnings=find_warnings(study, brain_ml),
        scan_p_value=scores.scan_p_value,
        maps=scores.maps,
        network_input=scores.network_input,
        provenance=Provenance(
            score=method.score_name,
            settings=settings,
            anatomy=AnatomySource.NETWORK if has_parcellation else AnatomySource.ATLAS,
            brain_volume_ml=round(brain_ml, 1),
            skull_stripped=prepared.is_stripped,
            healthy_scans=scores.healthy_scans,
            template_to_reference=np.round(prepared.template_to_reference, 5),
        ),
    )


def choose_method(settings: DetectionSettings) -> DetectionMethod:
    """Return the method of some settings, with its network loaded.

    Raises:
        BadSettings: no such device.
    """
    if settings.detector is DetectorName.STATISTICAL:
        return StatisticalDetector()
    from .network_detector import NetworkDetector

    return NetworkDetector.from_settings(settings)


def anatomy_predictor(settings: DetectionSettings | None = None) -> AnatomyPredictor | None:
    """Return the anatomy network of some settings, or None for the atlas alone.

    Raises:
        BadSettings: no such device.
    """
    settings = settings or DetectionSettings()
    if settings.anatomy is AnatomySource.ATLAS:
        return None
    from ..network.anatomy import load_anatomy_predictor

    return load_anatomy_predictor(settings.device, settings.threads)


def find_warnings(study: Study, brain_ml: float) -> tuple[str, ...]:
    """Return one sentence for everything that the reader of the report should know."""
    warnings = []
    low, high = USUAL_BRAIN_ML
    if not low <= brain_ml <= high:
        warnings.append(
            f"The brain mask holds {brain_ml:.0f} ml, outside the usual {low:.0f} to {high:.0f} "
            "ml: check it before using the results."
        )
    if Modality.FLAIR not in study.modalities:
        warnings.append(
            "Without a FLAIR this detector misses most lesions and may mark fluid instead: add one "
            "if there is any."
        )
    return tuple(warnings)
