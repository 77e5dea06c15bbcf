"""Compare versions of the network: ``python -m training.benchmark.variants``.

The full network, the light one, one orientation alone, and both, with default settings on the same
patients: synthetic ones from held-out label maps, and real healthy scans with implanted lesions.
Seconds are those of the processor for the prediction alone, on one thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    Device,
    NetworkSize,
    default_segmentation,
)
from BrainSSLAnomalyLib.core.study import Study
from BrainSSLAnomalyLib.detection.detect import Detector
from BrainSSLAnomalyLib.detection.network_detector import PREDICT
from BrainSSLAnomalyLib.segmentation import segment
from numpy.typing import NDArray

from ..synthesis.patients import held_out_cases
from .measures import dice, measure_score
from .tables import format_markdown, format_number

FULL = DetectionSettings(device=Device.CPU, threads=1, explain=False)

VERSIONS = {
    "full": FULL,
    "light": replace(FULL, network=NetworkSize.LIGHT),
    "full, axial slices only": replace(FULL, fast=True),
    "light, axial slices only": replace(FULL, network=NetworkSize.LIGHT, fast=True),
}

FIRST_PATIENT, FIRST_IMPLANT = 7000, 900
"""First seeds; others than those that anything was fitted or chosen on."""


@dataclass(frozen=True)
class Figures:
    """Hold the measures of one version on one patient.

    Attributes:
        dice: of the mask at the default settings.
        best_dice: of the best cut, which is unknown in practice.
        precision: average precision of the score.
        like_full: Dice of the mask with that of the full network.
        seconds: of the processor, for the prediction.
    """

    dice: float
    best_dice: float
    precision: float
    like_full: float
    seconds: float


def main(
    patients: Annotated[int, typer.Option(min=0, help="Synthetic patients.")] = 4,
    implants: Annotated[int, typer.Option(min=0, help="Scans with implanted lesions.")] = 9,
) -> None:
    """Print a line for every version: means over all patients."""
    detectors = {name: Detector(settings) for name, settings in VERSIONS.items()}
    found: dict[str, list[Figures]] = defaultdict(list)
    for draw, seed in held_out_cases(FIRST_PATIENT, patients, FIRST_IMPLANT, implants):
        study, lesions = draw(seed)
        if lesions is None:
            continue
        truth = resample(lesions, study.reference.volume.grid) > 0.5  # slices may be thick
        for name, figures in measure(detectors, study, truth).items():
            found[name].append(figures)
        typer.echo(f"{draw.__name__} {seed}", err=True)
    typer.echo(format_table(found))


def measure(
    detectors: Mapping[str, Detector], study: Study, truth: NDArray[np.bool_]
) -> dict[str, Figures]:
    """Detect in a patient by each version.

    Args:
        detectors: by name, the full network first.
        study: of the patient.
        truth: (k, j, i) bool, its lesions.
    """
    found: dict[str, Figures] = {}
    full: NDArray[np.bool_] | None = None
    for name, detector in detectors.items():
        detection = detector.detect(study)
        mask = segment(detection, default_segmentation(study.modalities)).mask
        full = mask if full is None else full
        best, precision = measure_score(detection.anomaly_score, truth)
        found[name] = Figures(
            dice=dice(mask, truth),
            best_dice=best,
            precision=precision,
            like_full=dice(mask, full) if full.any() else np.nan,
            seconds=detection.times[PREDICT].cpu_seconds,
        )
    return found


def format_table(found: Mapping[str, Sequence[Figures]]) -> str:
    """Format a line for every version."""
    head = ["network", "Dice", "best Dice", "average precision", "mask like that of the full one"]
    head.append("seconds")
    lines = []
    for name, rows in found.items():
        means = np.nanmean([list(vars(row).values()) for row in rows], axis=0)
        cells = [format_number(value) for value in means[:-1]]
        lines.append([name, *cells, f"{means[-1]:.1f}"])
    count = len(next(iter(found.values())))
    return f"n = {count} patients\n\n{format_markdown(head, lines)}"


if __name__ == "__main__":
    typer.run(main)
