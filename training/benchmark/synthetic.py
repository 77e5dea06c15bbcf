"""The default thresholds on synthetic patients: ``python -m training.benchmark.synthetic``.

The thresholds were chosen on these: synthetic patients (`synthesis.patients`) from held-out label
maps, and real healthy scans with implanted lesions (`synthesis.implanted`), each detected and cut
at every pair of levels. Seeds differ from those of the fusion, of the exceedance tables and of the
ablation. The real healthy scans are those of the exceedance tables, which state how much lies above
one level, but not how much of that is connected with something above another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Annotated

import numpy as np
import typer
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import (
    T1_THRESHOLD,
    DetectionSettings,
    DetectorName,
    SegmentationSettings,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.core.study import Modality, Study, Volume
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.scoring.exceedance import table_key
from BrainSSLAnomalyLib.segmentation import Segmenter

from ..engine.processes import process_pool
from ..release.exceedance import list_healthy_studies
from ..synthesis.patients import Case, held_out_cases
from .measures import dice

SETS = (
    (Modality.FLAIR,),
    (Modality.FLAIR, Modality.T2, Modality.T1),
    (Modality.T2,),
    (Modality.T1,),
)
CUTS = tuple(
    (high, low) for high in (0.5, 0.7, 0.9, 0.98, T1_THRESHOLD) for low in (0.1, 0.2, 0.3, 0.4, 0.5)
)
"""Seed and lower level of hysteresis."""

FIRST_PATIENT, FIRST_IMPLANT = 5000, 600
"""First seeds."""

Figures = tuple[str, str, bool, list[float]]
"""Kind, contrasts, whether there are lesions, and Dice (or false-positive ml) at each of `CUTS`."""


def calibration(number: int) -> tuple[Study, None]:
    """Read a real healthy scan."""
    _, study = next(islice(list_healthy_studies(0, 0), number, None))
    return study(), None


def measure(detector: DetectorName, case: Case) -> list[Figures]:
    """Measure one patient with each of `SETS` that it has."""
    draw, seed = case
    study, lesions = draw(seed)
    return [
        (
            draw.__name__,
            table_key(chosen),
            lesions is not None,
            measure_cuts(Study({m: study.scans[m] for m in chosen}), lesions, detector),
        )
        for chosen in SETS
        if set(chosen) <= set(study.scans)
    ]


def measure_cuts(study: Study, lesions: Volume | None, detector: DetectorName) -> list[float]:
    """Measure Dice, or without lesions false-positive ml, at each of `CUTS`."""
    detection = detect(study, DetectionSettings(detector=detector, explain=False))
    segmenter, grid = Segmenter(detection), detection.reference
    masks = [
        segmenter.mask(SegmentationSettings(ThresholdSettings(threshold=high, low=low)))
        for high, low in CUTS
    ]
    if lesions is None:
        return [float(mask.sum()) * grid.voxel_ml for mask in masks]
    truth = resample(lesions, grid.grid) > 0.5
    return [dice(mask, truth) for mask in masks]


def format_table(
    kind: str, contrasts: str, ill: Sequence[Sequence[float]], healthy: Sequence[Sequence[float]]
) -> str:
    """Format one line for every cut."""
    missing = [float("nan")] * len(CUTS)
    found = np.mean(ill, 0) if ill else missing
    wrong = np.median(healthy, 0) if healthy else missing
    worst = np.max(healthy, 0) if healthy else missing
    lines = []
    for (high, low), mean, median, most in zip(CUTS, found, wrong, worst, strict=True):
        figures = f"{mean:.3f} (n {len(ill)}) | {median:.2f}, {most:.2f} (n {len(healthy)})"
        lines.append(f"| {kind} | {contrasts} | {high:g} over {low:g} | {figures} |")
    return "\n".join(lines)


def main(
    detector: DetectorName = DetectorName.AUTO,
    patients: Annotated[int, typer.Option(help="Synthetic ones, a third of them healthy.")] = 15,
    implants: Annotated[
        int,
        typer.Option(help="Real healthy scans with implanted lesions: FLAIR, T2 and T1 in turn."),
    ] = 18,
    healthy: Annotated[bool, typer.Option(help="The real healthy calibration scans too.")] = True,
    workers: int = 2,
) -> None:
    """Print mean Dice with lesions, median and most of false positives without, for every cut."""
    cases = held_out_cases(FIRST_PATIENT, patients, FIRST_IMPLANT, implants)
    if healthy:
        cases += ((calibration, n) for n, _ in enumerate(list_healthy_studies(0, 0)))
    found: dict[tuple[str, str], dict[bool, list[list[float]]]] = defaultdict(
        lambda: {True: [], False: []}
    )
    with process_pool(workers) as pool:
        for (draw, seed), results in zip(
            cases, pool.map(partial(measure, detector), cases), strict=True
        ):
            for kind, contrasts, ill, row in results:
                found[kind, contrasts][ill].append(row)
            typer.echo(f"{draw.__name__} {seed}", err=True)
    typer.echo("| patients | contrasts | hysteresis | mean Dice | median and most healthy ml |")
    typer.echo("| --- | --- | --- | --- | --- |")
    for (kind, contrasts), rows in found.items():
        typer.echo(format_table(kind, contrasts, rows[True], rows[False]))


if __name__ == "__main__":
    typer.run(main)
