"""What every method of detection offers: from a prepared study to maps of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress, StageTime
from ..core.results import MapName, NetworkInput
from ..core.settings import DetectorName, ScoreName
from ..core.study import Modality
from ..preparation import PreparedStudy


@dataclass(frozen=True)
class ScoreMaps:
    """Hold the scores of a study, on the grid of its reference.

    Attributes:
        anomaly_score: (k, j, i) float32, 0 to 1, calibrated; 0 outside the brain.
        zscores: modality → (k, j, i) float32, SD from healthy.
        scan_p_value: share of healthy calibration scans at least as unusual.
        healthy_scans: number of scans behind it.
        maps: (k, j, i) float32 by name; empty without a network.
        network_input: what the network predicted from, for later explanations, or None.
        times: of each stage.
    """

    anomaly_score: NDArray[np.float32]
    zscores: Mapping[Modality, NDArray[np.float32]]
    scan_p_value: float
    healthy_scans: int
    maps: Mapping[MapName, NDArray[np.float32]] = field(default_factory=dict)
    network_input: NetworkInput | None = None
    times: Mapping[str, StageTime] = field(default_factory=dict)


class DetectionMethod(Protocol):
    """Score a prepared study.

    Attributes:
        name: of the detector.
        score_name: the score that becomes the anomaly score.
    """

    name: DetectorName
    score_name: ScoreName

    def score(self, prepared: PreparedStudy, progress: Progress) -> ScoreMaps:
        """Return the scores of a study.

        Args:
            prepared: the study.
            progress: receives stage and fraction of the scoring alone; may raise `Cancelled`.
        """
