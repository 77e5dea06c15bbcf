"""Explanations of single findings, from the scans they were found in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BadSettings
from ..core.progress import Progress, silent
from ..core.results import Detection, MapName, Segmentation
from ..core.settings import DetectionSettings, ExplanationMethod, ExplanationStage
from ..core.study import Study
from ..detection.detect import anatomy_eyes, networks_can_run
from ..preparation import PreparedStudy, prepare

if TYPE_CHECKING:
    from ..network.model import Model

_PREPARED, _LOOKED = 0.5, 0.7
"""Fractions of the whole that are done then."""


@dataclass(frozen=True)
class Explanation:
    """What one finding rests on. All arrays are (k, j, i) float32 on the grid of the detection.

    Attributes:
        number: of the finding.
        axis: 0, 1, 2 for slices across superior, anterior, right: those that were asked.
        gradcam: 0 to 1, 1 being the strongest place; all 0 where nothing speaks for an anomaly.
        attention: of the patches of the finding to all others, 1 being as much as if all were attended to alike.
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
    def empty(self) -> bool:
        """Whether the network finds nothing there that speaks for an anomaly."""
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
    progress: Progress = silent,
) -> Iterator[Explanation]:
    """Ask the network about each of some findings, whichever detector has found them.

    Grad-CAM is asked about the network's own anomaly logit, mean of the finding: where a finding came from another score, the
    map says what the network sees in it, and not why that score was high.

    Args:
        study: the scans that were detected in.
        detection, segmentation: what was found there.
        numbers: of findings.
        settings: those of the detection: the scans are prepared in the same way.
        stage: whose features are asked.
        method: how gradients become weights.
        model: the shipped one by default, on the device of the settings.
        progress: told the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BadSettings: there is no such finding, or no PyTorch.
    """
    known = [f.number for f in segmentation.findings]
    if unknown := [n for n in numbers if n not in known]:
        said = (
            f"choose one from 1 to {len(known)}"
            if known
            else "lower the threshold with segment first"
        )
        raise BadSettings(f"there is no finding {unknown[0]}", said)
    if not networks_can_run():
        raise BadSettings("explanations need PyTorch and MONAI", "install them, see the README")
    return _explained(
        study, detection, segmentation, numbers, settings, stage, method, model, progress
    )


def _explained(
    study: Study,
    detection: Detection,
    segmentation: Segmentation,
    numbers: Sequence[int],
    settings: DetectionSettings,
    stage: ExplanationStage,
    method: ExplanationMethod,
    model: Model | None,
    progress: Progress,
) -> Iterator[Explanation]:
    from ..detection import network_detector as hybrid
    from ..network.model import load_model

    if not numbers:
        return
    model = model or load_model(settings.device)  # first, since it may not be there
    look = anatomy_eyes(settings.anatomy)[0]
    prepared = prepare(
        study,
        look=look,
        correct_bias=settings.correct_bias,
        progress=lambda s, f: progress(s, _PREPARED * f),
    )
    maps = {
        name: detection.maps[name]
        for name in (MapName.RECONSTRUCTION, MapName.ERROR)
        if name in detection.maps
    }
    if len(maps) < 2:
        maps = _looked(
            prepared,
            model,
            lambda f: progress("Looking for anomalies", _PREPARED + (_LOOKED - _PREPARED) * f),
        )
    given = hybrid.network_input(prepared)
    for n, number in enumerate(numbers):

        def told(fraction: float, n: int = n) -> None:
            progress("Explaining", _LOOKED + (1 - _LOOKED) * (n + fraction) / len(numbers))

        asked = (segmentation.labels == number)[prepared.box]
        heat = hybrid.gradcam(
            given, model, asked, lambda f: told(0.7 * f), stage=stage, method=method
        )
        shares = hybrid.attended(given, model, asked, lambda f: told(0.7 + 0.3 * f))
        yield Explanation(
            number,
            given.study.axes[0],
            prepared.whole(heat),
            prepared.whole(shares),
            maps,
            model.version,
        )


def _looked(prepared: PreparedStudy, model: Model, progress) -> dict[MapName, NDArray[np.float32]]:
    """Reconstruction and error of a study in which another detector has looked."""
    from ..detection import network_detector as hybrid

    seen = hybrid.view(prepared, model, progress=progress)
    scores = hybrid.scores(seen, {}, hybrid.SHOWN)
    maps = hybrid.whole_maps(prepared, hybrid.maps(seen, prepared, scores))
    return {name: maps[name] for name in (MapName.RECONSTRUCTION, MapName.ERROR)}
