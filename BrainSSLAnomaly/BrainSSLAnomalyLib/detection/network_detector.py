"""The network detector: the hybrid CNN–ViT, joined with the statistics and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid
from ..core.progress import FractionCallback, Progress, StageClock, ignore_fraction
from ..core.resampling import resample
from ..core.results import MapName, NetworkInput
from ..core.settings import (
    DetectionSettings,
    DetectorName,
    Device,
    ExplanationMethod,
    ExplanationStage,
    ScoreName,
)
from ..core.study import Modality, Volume
from ..network.gradcam import attention_map, class_activation_map
from ..network.hybrid import CHANNELS, MAX_INTENSITY, MIN_INTENSITY
from ..network.inference import IDENTITY, TEST_TIME, Prediction, predict_volume
from ..network.model import Model, load_model
from ..preparation import PreparedStudy
from ..preparation.network_grid import SPACING_MM, brain_on, network_input
from ..scoring.exceedance import exceedance_table
from ..scoring.fusion import fusion
from ..scoring.normative_z import median_filter
from ..scoring.reconstruction_error import absolute_error, squared_error, structural_error
from ..scoring.region_trimming import anomaly_score
from .detector import ScoreMaps
from .statistics import compute_zscores, peak_level, scored_voxels, statistical_scores

PREDICT, SCORE, EXPLAIN = "Predicting anomalies", "Scoring", "Explaining"

EXPLAINED_SCORE = 0.5
"""Anomaly scores above this are the target of the Grad-CAM of a whole scan."""

MAPPED_SCORES = (ScoreName.L1, ScoreName.COSINE)
"""Scores that become maps of a detection."""

LATENT_SCORES = (
    ScoreName.EUCLIDEAN,
    ScoreName.COSINE,
    ScoreName.MAHALANOBIS,
    ScoreName.KDE,
)
"""Scores that are distances between embeddings."""


class NetworkDetector:
    """Score by the hybrid network.

    Args:
        model: network and what belongs to it.
        score_name: which of its scores becomes the anomaly score.
        test_time: average over augmentations.
        explain: compute Grad-CAM, and keep the input for later explanations.
    """

    name = DetectorName.HYBRID

    def __init__(
        self,
        model: Model,
        *,
        score_name: ScoreName = ScoreName.FUSED,
        test_time: bool = False,
        explain: bool = True,
    ) -> None:
        self.score_name = score_name
        self._model, self._test_time, self._explain = model, test_time, explain

    @classmethod
    def from_settings(cls, settings: DetectionSettings) -> NetworkDetector:
        """Return the detector of some settings, with the shipped model.

        Raises:
            BadSettings: no such device.
        """
        return cls(
            _shipped_model(settings.device),
            score_name=settings.score,
            test_time=settings.test_time,
            explain=settings.explain,
        )

    def score(self, prepared: PreparedStudy, progress: Progress) -> ScoreMaps:
        """Return the scores of a study; see `Detector`."""
        clock = StageClock(progress, {PREDICT: 0.75, SCORE: 0.1, EXPLAIN: 0.15})
        modalities = tuple(prepared.images)
        needed = scores_needed(self.score_name, modalities)
        with clock.stage(PREDICT):
            predicted = predict_study(
                prepared,
                self._model,
                test_time=self._test_time,
                latent=[name for name in needed if name in LATENT_SCORES],
                progress=lambda fraction: progress(PREDICT, 0.75 * fraction),
            )
        with clock.stage(SCORE):
            zscores = compute_zscores(prepared)
            statistics = statistical_scores(prepared, zscores, needed)
            scores = network_scores(predicted, statistics, needed)
            if self.score_name is ScoreName.FUSED:
                values = fusion(modalities)(scores)
            else:
                values = scores[self.score_name]
            table = exceedance_table(modalities, self.score_name)
            score = anomaly_score(values, scored_voxels(prepared), table, self.score_name)
            maps = network_maps(predicted, scores)
        with clock.stage(EXPLAIN):
            if self._explain:
                maps[MapName.GRADCAM] = gradcam(
                    predicted.input,
                    predicted.brain,
                    Volume(score > EXPLAINED_SCORE, prepared.box_grid.affine),
                    self._model,
                    progress=lambda fraction: progress(EXPLAIN, 0.85 + 0.15 * fraction),
                )
        progress(EXPLAIN, 1.0)
        return ScoreMaps(
            anomaly_score=prepared.on_whole_grid(score),
            zscores={m: prepared.on_whole_grid(z) for m, z in zscores.items()},
            scan_p_value=table.p_value(peak_level(prepared, values)),
            healthy_scans=table.scans,
            maps=maps_on_whole_grid(prepared, maps),
            network_input=predicted.input if self._explain else None,
            seconds=clock.seconds,
        )


@lru_cache(maxsize=1)
def _shipped_model(device: Device) -> Model:
    return load_model(device)


@dataclass(frozen=True)
class StudyPrediction:
    """Hold a study with the network's prediction for it.

    Attributes:
        prepared: the study.
        input: what the network predicted from.
        brain: (k, j, i) bool on the grid of the input.
        prediction: on that grid.
    """

    prepared: PreparedStudy
    input: NetworkInput
    brain: NDArray[np.bool_]
    prediction: Prediction

    @property
    def images(self) -> NDArray[np.float32]:
        """Return the images of the present modalities, (m, k, j, i), in the order of `CHANNELS`."""
        images, present = stack_channels(self.input)
        return images[present > 0]

    def on_box(self, array: NDArray) -> NDArray[np.float32]:
        """Return an array of the network's grid on the box of the brain."""
        return _from_network_grid(array, self.input, self.prepared.box_grid)


def stack_channels(
    given: NetworkInput,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images as channels of the network.

    Returns:
        Images (m, k, j, i) with all `CHANNELS`, clipped to the range of the network; and (m,) 1
        for the modalities that are there, else 0.
    """
    images = np.zeros((len(CHANNELS), *given.grid.shape), np.float32)
    for modality, image in given.images.items():
        images[CHANNELS.index(modality)] = np.clip(image, MIN_INTENSITY, MAX_INTENSITY)
    present = np.array([float(m in given.images) for m in CHANNELS], np.float32)
    return images, present


def predict_study(
    prepared: PreparedStudy,
    model: Model,
    modalities: tuple[Modality, ...] | None = None,
    *,
    test_time: bool = False,
    latent: Collection[ScoreName] = (ScoreName.COSINE,),
    progress: FractionCallback = ignore_fraction,
) -> StudyPrediction:
    """Run the network on a study.

    Args:
        prepared: the study.
        model: network and embeddings of healthy patches.
        modalities: those to use; all by default.
        test_time: average over augmentations.
        latent: distances between embeddings to compute.
        progress: receives the fraction done; may raise to stop.
    """
    given = network_input(prepared, modalities)
    images, present = stack_channels(given)
    prediction = predict_volume(
        model.network,
        images,
        present,
        given.axes,
        augmentations=TEST_TIME if test_time else (IDENTITY,),
        distances={name.value: model.healthy_patches.distance(name) for name in latent},
        progress=progress,
    )
    brain = brain_on(given.grid, prepared.box_volume(prepared.brain))
    return StudyPrediction(prepared, given, brain, prediction)


def scores_needed(score: ScoreName, modalities: Collection[Modality]) -> tuple[ScoreName, ...]:
    """Return the scores from which a score and the maps of a detection are computed."""
    parts = tuple(fusion(modalities).weights) if score is ScoreName.FUSED else (score,)
    return tuple(dict.fromkeys([*parts, *MAPPED_SCORES]))


def network_scores(
    predicted: StudyPrediction,
    statistics: Mapping[ScoreName, NDArray[np.float32]],
    names: Collection[ScoreName],
) -> dict[ScoreName, NDArray[np.float32]]:
    """Return some scores, not calibrated, larger being more unusual.

    Args:
        predicted: by the network.
        statistics: those of the scores that need no network, on the box of the brain.
        names: of the scores, without `ScoreName.FUSED`.

    Returns:
        (k, j, i) float32 by name, on the box of the brain.
    """
    images, prediction = predicted.images, predicted.prediction
    reconstruction = prediction.reconstruction
    computed: dict[ScoreName, Callable[[], NDArray[np.float32]]] = {
        ScoreName.LOGIT: lambda: prediction.anomaly,
        ScoreName.L1: lambda: _smooth(absolute_error(images, reconstruction)),
        ScoreName.L2: lambda: _smooth(squared_error(images, reconstruction)),
        ScoreName.SSIM: lambda: _smooth(structural_error(images, reconstruction)),
    }
    scores = {}
    for name in names:
        if name in LATENT_SCORES:
            scores[name] = predicted.on_box(prediction.distances[name.value])
        elif name in computed:
            scores[name] = predicted.on_box(computed[name]())
        else:
            scores[name] = statistics[name]
    return scores


def network_maps(
    predicted: StudyPrediction, scores: Mapping[ScoreName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Return the maps that explain a score, on the box of the brain.

    They are 0 outside the brain, except the reconstruction, which continues the scan.
    """
    prepared, prediction = predicted.prepared, predicted.prediction
    present = [m for m in CHANNELS if m in predicted.input.images]
    number = present.index(prepared.study.reference.modality)
    difference = prediction.reconstruction[number] - predicted.images[number]
    change = predicted.on_box(difference * predicted.brain)
    return {
        MapName.RECONSTRUCTION: _apply_to_reference(prepared, change),
        MapName.ERROR: scores[ScoreName.L1] * prepared.brain,
        MapName.LATENT: scores[ScoreName.COSINE] * prepared.brain,
        MapName.UNCERTAINTY: predicted.on_box(prediction.spread) * prepared.brain,
    }


def maps_on_whole_grid(
    prepared: PreparedStudy, maps: Mapping[MapName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Return maps of the box on the whole grid; the reconstruction continues the scan."""
    whole = {name: prepared.on_whole_grid(m.astype(np.float32)) for name, m in maps.items()}
    healthy = prepared.reference.array.astype(np.float32)
    healthy[prepared.box] = maps[MapName.RECONSTRUCTION]
    return {**whole, MapName.RECONSTRUCTION: healthy}


def gradcam(
    given: NetworkInput,
    brain: NDArray[np.bool_],
    target: Volume,
    model: Model,
    *,
    stage: ExplanationStage = ExplanationStage.DECODER,
    method: ExplanationMethod = ExplanationMethod.GRADCAM,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return the Grad-CAM of the anomaly logit of some voxels.

    Args:
        given: what the network predicted from.
        brain: (k, j, i) bool on the grid of the input.
        target: bool or weights, on a grid of the patient.
        model: that of the prediction.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of ``target``, 0 to 1, 1 being its strongest place: maps of
        two targets cannot be compared.
    """
    images, present = stack_channels(given)
    heat = class_activation_map(
        model.network,
        images,
        present,
        _to_network_grid(target, given),
        axis=given.axes[0],
        stage=stage,
        method=method,
        progress=progress,
    )
    return np.clip(_from_network_grid(heat * brain, given, target.grid), 0, 1)


def gradcam_of_finding(
    given: NetworkInput,
    brain: Volume,
    target: NDArray,
    model: Model,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return the `gradcam` of one finding from a saved input, without preparing the scans again.

    Args:
        given: from the detection.
        brain: (k, j, i) bool on the grid of the reference.
        target: (k, j, i) bool on that grid, the finding.
        model: that of the detection.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of the reference, 0 to 1.
    """
    inside = brain_on(given.grid, brain)
    volume = brain.with_array(np.asarray(target))
    heat = gradcam(given, inside, volume, model, progress=progress)
    masked: NDArray[np.float32] = heat * (brain.array > 0)
    return masked


def attention(
    given: NetworkInput,
    brain: NDArray[np.bool_],
    target: Volume,
    model: Model,
    progress: FractionCallback = ignore_fraction,
) -> NDArray[np.float32]:
    """Return what the transformer attends to from the patches of some voxels.

    Args:
        given: what the network predicted from.
        brain: (k, j, i) bool on the grid of the input.
        target: bool or weights, on a grid of the patient.
        model: that of the prediction.
        progress: receives the fraction done; may raise to stop.

    Returns:
        (k, j, i) float32 on the grid of ``target``: 1 is the attention to a patch if all patches of
        the slice were attended to alike; 0 on slices without the target.
    """
    axis, patch = given.axes[0], model.network.multiple
    images, present = stack_channels(given)
    weight = np.moveaxis(_to_network_grid(target, given), axis, 0)
    slices = np.moveaxis(images, axis + 1, 0)
    shares: NDArray[np.float32] = np.zeros(weight.shape, np.float32)
    chosen = np.flatnonzero(weight.any((1, 2)))
    for n, at in enumerate(chosen):
        shares[at] = attention_map(model.network, slices[at], present, weight[at])
        progress((n + 1) / len(chosen))
    height, width = shares.shape[1], shares.shape[2]
    shares *= -(-height // patch) * -(-width // patch)  # number of patches of a slice
    return _from_network_grid(np.moveaxis(shares, 0, axis) * brain, given, target.grid)


def _to_network_grid(target: Volume, given: NetworkInput) -> NDArray[np.float32]:
    """Return a target on the grid of the input; however small, some of it stays."""
    volume = target.with_array(np.asarray(target.array, np.float32))
    weight = resample(volume, given.grid)
    kept: NDArray[np.float32] = weight * (weight > min(0.5, float(weight.max()) / 2))
    return kept


def _from_network_grid(array: NDArray, given: NetworkInput, grid: Grid) -> NDArray[np.float32]:
    return resample(Volume(np.asarray(array, np.float32), given.affine), grid)


def _apply_to_reference(
    prepared: PreparedStudy, change: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the reference scan with a change in SD; its bias field and head stay as they are."""
    scan = prepared.reference.array[prepared.box].astype(np.float32)
    image = prepared.images[prepared.study.reference.modality]
    inside = prepared.brain
    x = image[inside] - image[inside].mean()
    y = scan[inside] - scan[inside].mean()
    slope = float((x * y).sum() / max(float((x * x).sum()), 1e-6))
    return np.where(inside, scan + slope * change, scan).astype(np.float32)


def _smooth(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return median_filter(array.astype(np.float32), (SPACING_MM,) * 3)
