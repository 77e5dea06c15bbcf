"""Explanations of single findings, from what the network predicted from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadSettings
from ..core.progress import FractionCallback, Progress, ignore_progress
from ..core.results import Detection, MapName, NetworkInput, Segmentation
from ..core.settings import DetectionSettings, ExplanationMethod, ExplanationStage
from ..core.study import Study
from ..detection.detect import anatomy_predictor
from ..preparation import prepare

if TYPE_CHECKING:
    from ..network.model import Model

_PREPARED, _PREDICTED = 0.5, 0.7
"""Fractions of the whole that are done then."""

_RECONSTRUCTION_MAPS = (MapName.RECONSTRUCTION, MapName.ERROR)


@dataclass(frozen=True)
class Explanation:
    """Hold what one finding rests on; arrays are (k, j, i) float32 on the grid of the detection.

    Attributes:
        number: of the finding.
        axis: 0, 1, 2 for slices across superior, anterior, right: those that are explained.
        gradcam: 0 to 1, 1 being the strongest place; all 0 where nothing supports an anomaly.
        attention: from the patches of the finding to all others; 1 if all were attended to alike.
        maps: reconstruction and its error, as in a `Detection`.
        version: of the model.
    """

    number: int
    axis: int
    gradcam: NDArray[np.float32]
    attention: NDArray[np.float32]
    maps: Mapping[MapName, NDArray[np.float32]]
    version: str

    @property
    def is_empty(self) -> bool:
        """Return whether nothing in the network supports an anomaly there."""
        return not self.gradcam.any()


def explain_findings(
    detection: Detection,
    segmentation: Segmentation,
    numbers: Sequence[int],
    settings: DetectionSettings,
    *,
    find_study: Callable[[], Study],
    stage: ExplanationStage = ExplanationStage.CONVOLUTION,
    method: ExplanationMethod = ExplanationMethod.HIRESCAM,
    model: Model | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Explanation]:
    """Explain each of some findings by the network, whichever detector has found them.

    The target of the map is the network's own anomaly logit, mean of the finding: where a finding
    came from another score, the map shows what the network responds to, not why that score was
    high.

    Args:
        detection: with the maps of the study, and what the network predicted from.
        segmentation: with the findings.
        numbers: of the findings to explain.
        settings: of the detection.
        find_study: returns the scans; called only where the network has not predicted yet, since
            they must be prepared then.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        model: the shipped one by default, on the device of the settings.
        progress: receives the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BadSettings: there is no such finding.
    """
    known = [f.number for f in segmentation.findings]
    unknown = [n for n in numbers if n not in known]
    if unknown:
        lower = "lower the threshold with segment first"
        next_step = f"choose one from 1 to {len(known)}" if known else lower
        raise BadSettings(f"there is no finding {unknown[0]}", next_step)
    explainer = _Explainer(detection, settings, find_study, stage, method, model, progress)
    return explainer.explain(segmentation, numbers)


@dataclass(frozen=True)
class _Explainer:
    """Explain findings of one study; prepares it at most once, when the first is explained."""

    detection: Detection
    settings: DetectionSettings
    find_study: Callable[[], Study]
    stage: ExplanationStage
    method: ExplanationMethod
    model: Model | None
    progress: Progress

    def explain(self, segmentation: Segmentation, numbers: Sequence[int]) -> Iterator[Explanation]:
        from ..detection.explain import activation_map, attention
        from ..network.model import load_model
        from ..preparation.network_grid import brain_on

        if not numbers:
            return
        self.progress("Loading the networks", 0.0)
        model = self.model or load_model(self.settings.device, threads=self.settings.threads)
        given, maps = self._input_and_maps(model)
        mask = self.detection.reference.with_array(self.detection.brain_mask)
        brain, inside = brain_on(given.grid, mask), self.detection.brain_mask
        for n, number in enumerate(numbers):
            report = self._reporter(n, len(numbers))
            target = mask.with_array(segmentation.labels == number)
            heat = activation_map(
                given,
                brain,
                target,
                model,
                stage=self.stage,
                method=self.method,
                progress=partial(_report_part, report, 0.0, 0.7),
            )
            shares = attention(given, brain, target, model, partial(_report_part, report, 0.7, 0.3))
            yield Explanation(
                number=number,
                axis=given.axes[0],
                gradcam=heat * inside,
                attention=shares * inside,
                maps=maps,
                version=model.version,
            )

    def _reporter(self, n: int, count: int) -> FractionCallback:
        start = 0.0 if self.detection.network_input is not None else _PREDICTED

        def report(fraction: float) -> None:
            self.progress("Explaining", start + (1 - start) * (n + fraction) / count)

        return report

    def _input_and_maps(
        self, model: Model
    ) -> tuple[NetworkInput, Mapping[MapName, NDArray[np.float32]]]:
        """Return the network's input with reconstruction and error, predicted now if need be."""
        maps, given = self.detection.maps, self.detection.network_input
        if given is not None and all(name in maps for name in _RECONSTRUCTION_MAPS):
            return given, {name: maps[name] for name in _RECONSTRUCTION_MAPS}
        from ..detection import network_detector as detector

        prepared = prepare(
            self.find_study(),
            predictor=anatomy_predictor(self.settings),
            correct_bias=self.settings.correct_bias,
            progress=lambda stage, fraction: self.progress(stage, _PREPARED * fraction),
        )

        def report(fraction: float) -> None:
            done = _PREPARED + (_PREDICTED - _PREPARED) * fraction
            self.progress(detector.PREDICT, done)

        predicted = detector.predict_study(prepared, model, progress=report)
        scores = detector.network_scores(predicted, {}, detector.MAPPED_SCORES)
        whole = detector.maps_on_whole_grid(prepared, detector.network_maps(predicted, scores))
        return predicted.input, {name: whole[name] for name in _RECONSTRUCTION_MAPS}


def _report_part(report: FractionCallback, start: float, share: float, fraction: float) -> None:
    report(start + share * fraction)
