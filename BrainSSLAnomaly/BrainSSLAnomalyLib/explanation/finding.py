"""Explanations of single findings, from the scans that they were found in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadSettings
from ..core.progress import FractionCallback, Progress, ignore_progress
from ..core.results import Detection, MapName, Segmentation
from ..core.settings import DetectionSettings, ExplanationMethod, ExplanationStage
from ..core.study import Study, Volume
from ..detection.detect import anatomy_predictor, networks_available
from ..preparation import PreparedStudy, prepare

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
    study: Study,
    detection: Detection,
    segmentation: Segmentation,
    numbers: Sequence[int],
    settings: DetectionSettings,
    *,
    stage: ExplanationStage = ExplanationStage.DECODER,
    method: ExplanationMethod = ExplanationMethod.GRADCAM,
    model: Model | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[Explanation]:
    """Explain each of some findings by the network, whichever detector has found them.

    The target of Grad-CAM is the network's own anomaly logit, mean of the finding: where a finding
    came from another score, the map shows what the network responds to, not why that score was
    high.

    Args:
        study: the scans that were detected in.
        detection: with the maps of the study.
        segmentation: with the findings.
        numbers: of the findings to explain.
        settings: of the detection: the scans are prepared in the same way.
        stage: of the network, whose features are used.
        method: how gradients become weights.
        model: the shipped one by default, on the device of the settings.
        progress: receives the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BadSettings: there is no such finding, or no PyTorch.
    """
    known = [f.number for f in segmentation.findings]
    unknown = [n for n in numbers if n not in known]
    if unknown:
        lower = "lower the threshold with segment first"
        next_step = f"choose one from 1 to {len(known)}" if known else lower
        raise BadSettings(f"there is no finding {unknown[0]}", next_step)
    if not networks_available():
        raise BadSettings("explanations need PyTorch and MONAI", "install them, see the README")
    explainer = _Explainer(study, detection, settings, stage, method, model, progress)
    return explainer.explain(segmentation, numbers)


@dataclass(frozen=True)
class _Explainer:
    """Explain findings of one study; prepares it once, when the first is explained."""

    study: Study
    detection: Detection
    settings: DetectionSettings
    stage: ExplanationStage
    method: ExplanationMethod
    model: Model | None
    progress: Progress

    def explain(self, segmentation: Segmentation, numbers: Sequence[int]) -> Iterator[Explanation]:
        from ..detection.network_detector import attention, gradcam
        from ..network.model import load_model
        from ..preparation.network_grid import brain_on, network_input

        if not numbers:
            return
        model = self.model or load_model(self.settings.device)  # first, since it may be missing
        prepared = prepare(
            self.study,
            predictor=anatomy_predictor(self.settings.anatomy),
            correct_bias=self.settings.correct_bias,
            progress=lambda stage, fraction: self.progress(stage, _PREPARED * fraction),
        )
        maps = self._reconstruction_maps(prepared, model)
        given = network_input(prepared)
        brain = brain_on(given.grid, prepared.box_volume(prepared.brain))
        for n, number in enumerate(numbers):
            report = self._reporter(n, len(numbers))
            is_target = (segmentation.labels == number)[prepared.box]
            target = Volume(is_target, prepared.box_grid.affine)
            heat = gradcam(
                given,
                brain,
                target,
                model,
                stage=self.stage,
                method=self.method,
                progress=partial(_report_part, report, 0.0, 0.7),
            )
            shares = attention(
                given,
                brain,
                target,
                model,
                partial(_report_part, report, 0.7, 0.3),
            )
            yield Explanation(
                number=number,
                axis=given.axes[0],
                gradcam=prepared.on_whole_grid(heat),
                attention=prepared.on_whole_grid(shares),
                maps=maps,
                version=model.version,
            )

    def _reporter(self, n: int, count: int) -> FractionCallback:
        def report(fraction: float) -> None:
            done = _PREDICTED + (1 - _PREDICTED) * (n + fraction) / count
            self.progress("Explaining", done)

        return report

    def _reconstruction_maps(
        self, prepared: PreparedStudy, model: Model
    ) -> dict[MapName, NDArray[np.float32]]:
        """Return reconstruction and error; predicted now where another detector has run."""
        from ..detection import network_detector as detector

        maps = self.detection.maps
        if all(name in maps for name in _RECONSTRUCTION_MAPS):
            return {name: maps[name] for name in _RECONSTRUCTION_MAPS}

        def report(fraction: float) -> None:
            done = _PREPARED + (_PREDICTED - _PREPARED) * fraction
            self.progress(detector.PREDICT, done)

        predicted = detector.predict_study(prepared, model, progress=report)
        scores = detector.network_scores(predicted, {}, detector.MAPPED_SCORES)
        on_box = detector.network_maps(predicted, scores)
        whole = detector.maps_on_whole_grid(prepared, on_box)
        return {name: whole[name] for name in _RECONSTRUCTION_MAPS}


def _report_part(report: FractionCallback, start: float, share: float, fraction: float) -> None:
    report(start + share * fraction)
