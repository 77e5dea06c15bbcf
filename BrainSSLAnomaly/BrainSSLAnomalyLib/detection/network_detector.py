"""The network detector: the hybrid CNN–ViT, joined with the statistics and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.progress import FractionCallback, Progress, StageClock, ignore_fraction
from ..core.results import MapName, NetworkInput
from ..core.settings import (
    DetectionSettings,
    DetectorName,
    ScoreName,
)
from ..core.study import Modality, Volume
from ..network.channels import CHANNELS, stack_channels
from ..network.inference import IDENTITY, TEST_TIME, Prediction, predict_volume
from ..network.model import Model, load_model
from ..preparation import PreparedStudy
from ..preparation.network_grid import SPACING_MM, brain_on, network_input
from ..scoring.exceedance import exceedance_table
from ..scoring.fusion import fusion
from ..scoring.normative_z import median_filter
from ..scoring.reconstruction_error import absolute_error, squared_error, structural_error
from ..scoring.region_trimming import anomaly_score
from .explain import activation_map, from_network_grid
from .method import ScoreMaps
from .statistics import compute_zscores, peak_level, scored_voxels, statistical_scores

PREDICT, SCORE, EXPLAIN = "Predicting anomalies", "Scoring", "Explaining"

EXPLAINED_SCORE = 0.5
"""Anomaly scores above this are the target of the activation map of a whole scan."""

EXPLAINED_EVERY = 3
"""For that map one of so many slices of 1 mm is computed: its own grid is one of 4 mm."""

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
        fast: predict slices of one orientation only.
        explain: compute a class activation map, and keep the input for later explanations.
    """

    name = DetectorName.HYBRID

    def __init__(
        self,
        model: Model,
        *,
        score_name: ScoreName = ScoreName.FUSED,
        test_time: bool = False,
        fast: bool = False,
        explain: bool = True,
    ) -> None:
        self.score_name = score_name
        self._model, self._explain = model, explain
        self._test_time, self._fast = test_time, fast

    @classmethod
    def from_settings(cls, settings: DetectionSettings) -> NetworkDetector:
        """Return the detector of some settings, with the shipped model.

        Raises:
            BadSettings: no such device.
        """
        return cls(
            load_model(settings.device, size=settings.network, threads=settings.threads),
            score_name=settings.score,
            test_time=settings.test_time,
            fast=settings.fast,
            explain=settings.explain,
        )

    def score(self, prepared: PreparedStudy, progress: Progress) -> ScoreMaps:
        """Return the scores of a study; see `DetectionMethod`."""
        clock = StageClock(progress, {PREDICT: 0.75, SCORE: 0.1, EXPLAIN: 0.15})
        modalities = tuple(prepared.images)
        needed = scores_needed(self.score_name, modalities)
        with clock.stage(PREDICT):
            predicted = predict_study(
                prepared,
                self._model,
                test_time=self._test_time,
                fast=self._fast,
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
            maps = maps_on_whole_grid(prepared, network_maps(predicted, scores))
            whole_score = prepared.on_whole_grid(score)
            whole_zscores = {m: prepared.on_whole_grid(z) for m, z in zscores.items()}
            p_value = table.p_value(peak_level(prepared, values))
        with clock.stage(EXPLAIN):
            if self._explain:
                heat = activation_map(
                    predicted.input,
                    predicted.brain,
                    Volume(score > EXPLAINED_SCORE, prepared.box_grid.affine),
                    self._model,
                    every=EXPLAINED_EVERY,
                    progress=lambda fraction: progress(EXPLAIN, 0.85 + 0.15 * fraction),
                )
                maps[MapName.GRADCAM] = prepared.on_whole_grid(heat)
        progress(EXPLAIN, 1.0)
        return ScoreMaps(
            anomaly_score=whole_score,
            zscores=whole_zscores,
            scan_p_value=p_value,
            healthy_scans=table.scans,
            maps=maps,
            network_input=predicted.input if self._explain else None,
            times=clock.times,
        )


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
        return from_network_grid(array, self.input, self.prepared.box_grid)


def predict_study(
    prepared: PreparedStudy,
    model: Model,
    modalities: tuple[Modality, ...] | None = None,
    *,
    test_time: bool = False,
    fast: bool = False,
    latent: Collection[ScoreName] = (ScoreName.COSINE,),
    progress: FractionCallback = ignore_fraction,
) -> StudyPrediction:
    """Run the network on a study.

    Args:
        prepared: the study.
        model: network and embeddings of healthy patches.
        modalities: those to use; all by default.
        test_time: average over augmentations.
        fast: predict slices of the first orientation only.
        latent: distances between embeddings to compute.
        progress: receives the fraction done; may raise to stop.
    """
    given = network_input(prepared, modalities)
    images, present = stack_channels(given)
    prediction = predict_volume(
        model.engine,
        images,
        present,
        given.axes[:1] if fast else given.axes,
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
    maps = {
        MapName.RECONSTRUCTION: _apply_to_reference(prepared, change),
        MapName.ERROR: scores[ScoreName.L1] * prepared.brain,
        MapName.LATENT: scores[ScoreName.COSINE] * prepared.brain,
    }
    if prediction.spread.any():  # not of one orientation alone, which would seem certain
        maps[MapName.UNCERTAINTY] = predicted.on_box(prediction.spread) * prepared.brain
    return maps


def maps_on_whole_grid(
    prepared: PreparedStudy, maps: Mapping[MapName, NDArray[np.float32]]
) -> dict[MapName, NDArray[np.float32]]:
    """Return maps of the box on the whole grid; the reconstruction continues the scan."""
    whole = {name: prepared.on_whole_grid(m.astype(np.float32)) for name, m in maps.items()}
    healthy = prepared.reference.array.astype(np.float32)
    healthy[prepared.box] = maps[MapName.RECONSTRUCTION]
    return {**whole, MapName.RECONSTRUCTION: healthy}


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
