"""The pipeline: from a study to a detection."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

import numpy as np

from ..core.progress import Progress, ignore_progress
from ..core.results import Detection, Provenance
from ..core.settings import AnatomySource, DetectionSettings, DetectorName
from ..core.study import Modality, Study
from ..preparation import AnatomyPredictor, PreparedStudy, prepare
from .detector import Detector, ScoreMaps
from .statistical_detector import StatisticalDetector

USUAL_BRAIN_ML = (700.0, 2200.0)
"""Outside these volumes the report warns: the brain mask may be wrong."""

NETWORK_PACKAGES = ("torch", "monai", "einops", "safetensors")

_PREPARATION_SHARE = {DetectorName.STATISTICAL: 0.7, DetectorName.HYBRID: 0.35}
"""Of the time of a detection that preparation takes, for the progress bar."""


def detect(
    study: Study,
    settings: DetectionSettings | None = None,
    progress: Progress = ignore_progress,
) -> Detection:
    """Find what is unusual in a study.

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
    settings = settings or DetectionSettings()
    detector = choose_detector(settings)
    predictor = anatomy_predictor(settings.anatomy)
    share = _PREPARATION_SHARE[detector.name]
    prepared = prepare(
        study,
        predictor=predictor,
        correct_bias=settings.correct_bias,
        progress=lambda stage, fraction: progress(stage, fraction * share),
    )
    scores = detector.score(
        prepared, lambda stage, fraction: progress(stage, share + (1 - share) * fraction)
    )
    return _make_detection(study, settings, prepared, predictor is not None, detector, scores)


def _make_detection(
    study: Study,
    settings: DetectionSettings,
    prepared: PreparedStudy,
    has_parcellation: bool,
    detector: Detector,
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
        detector=detector.name,
        inputs=tuple(study.scans[m] for m in study.modalities),
        seconds={**prepared.seconds, **scores.seconds},
        warnings=find_warnings(study, settings, brain_ml),
        scan_p_value=scores.scan_p_value,
        maps=scores.maps,
        network_input=scores.network_input,
        provenance=Provenance(
            score=detector.score_name,
            settings=settings,
            anatomy=AnatomySource.NETWORK if has_parcellation else AnatomySource.ATLAS,
            brain_volume_ml=round(brain_ml, 1),
            skull_stripped=prepared.is_stripped,
            healthy_scans=scores.healthy_scans,
            template_to_reference=np.round(prepared.template_to_reference, 5),
        ),
    )


def choose_detector(settings: DetectionSettings) -> Detector:
    """Return the detector of some settings; the statistical one where networks cannot run."""
    if settings.detector is DetectorName.STATISTICAL or not networks_available():
        return StatisticalDetector()
    from .network_detector import NetworkDetector

    return NetworkDetector.from_settings(settings)


def networks_available() -> bool:
    """Return whether the packages that networks need are installed."""
    return all(find_spec(name) for name in NETWORK_PACKAGES)


def anatomy_predictor(
    source: AnatomySource = AnatomySource.NETWORK,
) -> AnatomyPredictor | None:
    """Return the anatomy network, or None for the atlas alone and where networks cannot run."""
    if source is AnatomySource.ATLAS or not networks_available():
        return None
    return _load_anatomy_predictor()


@lru_cache(maxsize=1)
def _load_anatomy_predictor() -> AnatomyPredictor:
    from ..network.anatomy import anatomy_predictor, load_anatomy_network

    return anatomy_predictor(load_anatomy_network())


def find_warnings(study: Study, settings: DetectionSettings, brain_ml: float) -> tuple[str, ...]:
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
    if not networks_available():
        if settings.anatomy is AnatomySource.NETWORK:
            warnings.append(
                "Without PyTorch and MONAI an atlas alone finds the brain, which is less exact: "
                "install them, see the README."
            )
        if settings.detector is not DetectorName.STATISTICAL:
            warnings.append(
                "Without PyTorch and MONAI the statistical detector replaces the network: install "
                "them, see the README."
            )
    return tuple(warnings)
