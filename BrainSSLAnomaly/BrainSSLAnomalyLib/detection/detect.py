"""The pipeline: a study in, a detection out. One page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import Tissue
from ..core.progress import Progress, silent
from ..core.results import Detection, LookedAt, MapName
from ..core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
    to_dict,
)
from ..core.study import Modality, Study
from ..preparation import Look, PreparedStudy, prepare
from ..scoring.asymmetry import asymmetry
from ..scoring.deviation import EDGE_MM, SOLID_EDGE_MM, SOLID_FLUID, combine
from ..scoring.exceedance import healthy_table
from ..scoring.normative_maps import healthy_places
from ..scoring.normative_z import healthy_z, median_mm
from ..scoring.region_trimming import anomaly_score

if TYPE_CHECKING:
    from ..network.model import Model

USUAL_BRAIN_ML = (700.0, 2200.0)
"""Outside these volumes the report warns: the brain mask may be wrong."""

_DEFAULTS = DetectionSettings()
_PREPARATION_SHARE, _PREPARATION_SHARE_BEFORE_HYBRID = 0.7, 0.35
_NETWORK_PACKAGES = ("torch", "monai", "einops", "safetensors")

EXPLAINED = 0.5
"""Scores above this are what Grad-CAM is asked about."""


def detect(
    study: Study, settings: DetectionSettings = _DEFAULTS, progress: Progress = silent
) -> Detection:
    """Find what is unusual in a study.

    Args:
        study: the scans of one patient, any subset of modalities.
        settings: which detector, and how to prepare.
        progress: told the stage and the fraction done; may raise `Cancelled`.

    Returns:
        Anomaly score and everything that explains it, on the grid of the reference scan.

    Raises:
        PreparationFailed: no brain was found.
    """
    detector, score_name, unsaid = chosen(settings)
    share = (
        _PREPARATION_SHARE
        if detector is DetectorName.STATISTICAL
        else _PREPARATION_SHARE_BEFORE_HYBRID
    )
    look, warning = anatomy_eyes(settings.anatomy)
    prepared = prepare(
        study,
        look=look,
        correct_bias=settings.correct_bias,
        progress=lambda s, f: progress(s, f * share),
    )
    progress("Scoring", share)
    start = time.perf_counter()
    zscores = zscore_maps(prepared)
    seen: _Looking | None = None
    if detector is DetectorName.STATISTICAL:
        unusual = deviation_map(prepared, zscores)
    else:
        seen = _Looking(
            prepared, settings, zscores, lambda s, f: progress(s, share + (1 - share) * f)
        )
        unusual = seen.score(score_name)
    table = healthy_table(study.modalities, score_name)
    brain_ml = float(prepared.brain_mask.sum()) * prepared.reference.voxel_ml
    score = anomaly_score(unusual, scored_voxels(prepared), table, score_name)
    maps = seen.maps(score) if seen else {}
    seconds = {
        **prepared.seconds,
        **(seen.seconds if seen else {}),
        "Scoring": time.perf_counter() - start,
    }
    progress("Scoring", 1.0)
    return Detection(
        reference=prepared.reference,
        modality=study.reference.modality,
        anomaly_score=prepared.whole(score),
        brain_mask=prepared.brain_mask,
        zscores={m: prepared.whole(z) for m, z in zscores.items()},
        anatomy=prepared.anatomy,
        detector=detector.value,
        inputs=tuple(study.scans[m] for m in study.modalities),
        seconds=seconds,
        warnings=(*_warnings(brain_ml, study), *(w for w in (warning, unsaid) if w)),
        scan_p_value=table.p_value(peak_deviation(prepared, unusual)),
        maps=maps,
        looked_at=seen.looked_at if seen and settings.explain else None,
        facts={
            "score": score_name.value,
            "settings": to_dict(settings),
            "brain_volume_ml": round(brain_ml, 1),
            "anatomy_by": (AnatomySource.NETWORK if look else AnatomySource.ATLAS).value,
            "skull_stripped_input": prepared.stripped,
            "healthy_scans_in_table": table.scans,
            "template_to_reference": np.round(prepared.template_to_reference, 5).tolist(),
        },
    )


def chosen(settings: DetectionSettings) -> tuple[DetectorName, ScoreName, str]:
    """The detector and its score; and a sentence for the report where the wanted one cannot run."""
    if settings.detector is DetectorName.STATISTICAL:
        return DetectorName.STATISTICAL, ScoreName.STATISTICAL, ""
    if not networks_can_run():
        said = "Without PyTorch and MONAI the statistical detector has looked instead of the network: install them, see the README."
        return DetectorName.STATISTICAL, ScoreName.STATISTICAL, said
    return DetectorName.HYBRID, settings.score, ""


def networks_can_run() -> bool:
    """Whether what networks need is installed."""
    return all(find_spec(name) for name in _NETWORK_PACKAGES)


class _Looking:
    """The hybrid's look at a study, each part once."""

    def __init__(
        self,
        prepared: PreparedStudy,
        settings: DetectionSettings,
        zscores: dict[Modality, NDArray[np.float32]],
        progress: Progress,
    ) -> None:
        from . import network_detector as hybrid

        self._hybrid, self._prepared, self._settings, self._progress = (
            hybrid,
            prepared,
            settings,
            progress,
        )
        self._model = _model(settings.device)
        wanted = hybrid.needed(settings.score, tuple(prepared.images))
        start = time.perf_counter()
        self._view = hybrid.view(
            prepared,
            self._model,
            test_time=settings.test_time,
            latent=tuple(name for name in wanted if name in hybrid.LATENT),
            progress=lambda f: progress("Looking for anomalies", 0.8 * f),
        )
        self.seconds = {"Looking for anomalies": time.perf_counter() - start}
        self._scores = hybrid.scores(self._view, statistics(prepared, zscores, wanted), wanted)

    @property
    def looked_at(self) -> LookedAt:
        """What was shown to the network."""
        return self._hybrid.kept(self._view)

    def score(self, name: ScoreName) -> NDArray[np.float32]:
        """Not calibrated, box of the brain."""
        if name is ScoreName.FUSED:
            return self._hybrid.fused(self._scores, tuple(self._prepared.images))
        return self._scores[name]

    def maps(self, score: NDArray[np.float32]) -> dict[MapName, NDArray[np.float32]]:
        """What explains a score, whole grid."""
        start, prepared = time.perf_counter(), self._prepared
        maps = self._hybrid.maps(self._view, prepared, self._scores)
        if self._settings.explain:
            told = lambda f: self._progress("Explaining", 0.8 + 0.2 * f)
            maps[MapName.GRADCAM] = self._hybrid.gradcam(
                self._view, self._model, score > EXPLAINED, told
            )
        self.seconds["Explaining"] = time.perf_counter() - start
        return self._hybrid.whole_maps(prepared, maps)


@lru_cache(maxsize=1)
def _model(device: Device) -> Model:
    from ..network.model import load_model

    return load_model(device)


def anatomy_eyes(source: AnatomySource = _DEFAULTS.anatomy) -> tuple[Look | None, str]:
    """The anatomy network, or None for the atlas; and a sentence for the report where the network is missing."""
    if source is AnatomySource.ATLAS:
        return None, ""
    if not networks_can_run():
        return (
            None,
            "Without PyTorch and MONAI an atlas alone finds the brain, which is less exact: install them, see the README.",
        )
    return _anatomy_network(), ""


@lru_cache(maxsize=1)
def _anatomy_network() -> Look:
    from ..network.anatomy import load_anatomy_network, looker

    return looker(load_anatomy_network())


def zscore_maps(
    prepared: PreparedStudy, *, by_place: bool = True
) -> dict[Modality, NDArray[np.float32]]:
    """Modality → robust z against healthy, box of the brain; the reference first.

    Args:
        prepared: the study.
        by_place: measure against what is usual at each place, where that has been learned.
    """
    inside = prepared.brain
    maps = {}
    for modality, image in prepared.images.items():
        tissues = prepared.intensities[modality]
        z = healthy_z(image, prepared.priors, tissues.mean, tissues.sd, inside, tissues.endless)
        z = median_mm(z, prepared.reference.spacing)
        usual = healthy_places(modality) if by_place else None
        if usual is not None:
            z = usual.standardise(z, prepared.box_affine, prepared.template_to_reference)
        maps[modality] = z * inside
    return maps


def scored_voxels(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """Where a score is given: in the brain, off its edge, and not on the exact background of a stripped scan."""
    scored = prepared.brain & (prepared.edge_mm > EDGE_MM)
    return scored & ~prepared.background if prepared.stripped else scored


def parenchyma(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """White matter and cortex away from the edge: what sets the scale of a scan."""
    return scored_voxels(prepared) & (
        prepared.posterior[[Tissue.WHITE, Tissue.CORTEX]].sum(0) > 0.8
    )


def solid_brain(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """Where a deviation of either sign counts."""
    fluid = prepared.priors[[Tissue.VENTRICLE, Tissue.CSF]].sum(0)
    return (prepared.edge_mm > SOLID_EDGE_MM) & (fluid < SOLID_FLUID)


def deviation_map(
    prepared: PreparedStudy, zscores: dict[Modality, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """One standardised deviation from all modalities, box of the brain."""
    return combine(zscores, parenchyma(prepared), solid_brain(prepared))


def statistics(
    prepared: PreparedStudy,
    zscores: dict[Modality, NDArray[np.float32]],
    wanted: Iterable[ScoreName],
) -> dict[ScoreName, NDArray[np.float32]]:
    """Those scores, of the wanted ones, that need no network; box of the brain."""
    deviation = deviation_map(prepared, zscores)
    made: dict[ScoreName, Callable[[], NDArray[np.float32]]] = {
        ScoreName.STATISTICAL: lambda: deviation,
        ScoreName.ASYMMETRY: lambda: asymmetry(
            deviation, prepared.brain, prepared.box_affine, prepared.template_to_reference
        ),
    }
    return {name: made[name]() for name in wanted if name in made}


def peak_deviation(prepared: PreparedStudy, deviation: NDArray[np.float32]) -> float:
    """The deviation that 0.1 ml of the scan exceeds."""
    values = deviation[scored_voxels(prepared)]
    rank = max(1, round(0.1 / prepared.reference.voxel_ml))
    return float(-np.partition(-values, rank - 1)[rank - 1])


def _warnings(brain_ml: float, study: Study) -> tuple[str, ...]:
    said = []
    low, high = USUAL_BRAIN_ML
    if not low <= brain_ml <= high:
        said.append(
            f"The brain mask holds {brain_ml:.0f} ml, outside the usual {low:.0f} to {high:.0f} ml: check it before using the results."
        )
    if Modality.FLAIR not in study.modalities:
        said.append(
            "Without a FLAIR this detector misses most lesions and may mark fluid instead: add one if there is any."
        )
    return tuple(said)
