"""``python -m training.benchmark.synthetic``: what the default thresholds were chosen on.

Synthetic patients drawn from label maps: a third healthy, a third with small white-matter lesions, a third with one large
lesion, of any strength, with and without skull, with slices of 1 to 5 mm. Seeds differ from those of the healthy table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import typer
from BrainSSLAnomalyLib.anatomy import Tissue
from BrainSSLAnomalyLib.detector import deviation_map, scored_voxels, zscore_maps
from BrainSSLAnomalyLib.resampling import resample
from BrainSSLAnomalyLib.scoring.healthy_table import healthy_table
from BrainSSLAnomalyLib.scoring.statistical import score_from_deviation
from BrainSSLAnomalyLib.segmentation.morphology import without_small
from BrainSSLAnomalyLib.segmentation.thresholds import hysteresis
from BrainSSLAnomalyLib.settings import MorphologySettings
from BrainSSLAnomalyLib.study import Modality, Scan, Study, Volume

from ..data import DATA, load
from ..synthesis.scans import draw_lesions, draw_scan, draw_tissues, hyperintense, with_penumbra
from ..workers import prepared_as_shipped, processes
from .measures import dice

SETS = ((Modality.FLAIR,), (Modality.FLAIR, Modality.T2, Modality.T1), (Modality.T2,), (Modality.T1,))
CUTS = ((0.5, 0.2), (0.5, 0.3), (0.7, 0.2), (0.7, 0.3), (0.8, 0.2), (0.8, 0.3), (0.9, 0.2), (0.9, 0.3), (0.9, 0.5), (0.95, 0.3))
"""Seed and lower level of hysteresis."""


def patient(seed: int) -> tuple[Study, Volume | None]:
    """A synthetic patient, and the lesions as a soft mask or None."""
    rng = np.random.default_rng(seed)
    maps = sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))
    labels, order = load(maps[seed % len(maps)]), (Modality.FLAIR, Modality.T2, Modality.T1)
    strength, drawing = rng.uniform(0.45, 1.1), int(rng.integers(1 << 30))
    if seed % 3 == 0:
        drawn, lesions = draw_scan(labels, order, np.random.default_rng(drawing)), None
    else:
        tissues, affine = draw_tissues(labels, np.random.default_rng(drawing))
        mask = draw_lesions(tissues, rng, large=seed % 3 == 2)
        shown = with_penumbra(mask, tissues == Tissue.WHITE + 1, (1.0, 1.0, 1.0), rng)
        drawn = draw_scan(labels, order, np.random.default_rng(drawing), change=hyperintense(shown, strength, rng))
        lesions = Volume(mask, affine)
    return Study({m: Scan(v, m, f"synthetic {seed}") for m, v in drawn.scans.items()}), lesions


def measure(seed: int) -> list[tuple[bool, list[float]]]:
    """For each of `SETS`: whether there are lesions, and Dice (or false-positive ml) at each of `CUTS`."""
    study, lesions = patient(seed)
    prepared = prepared_as_shipped(study)
    grid, box = prepared.reference, prepared.box
    maps, scored = zscore_maps(prepared), scored_voxels(prepared)
    truth = None if lesions is None else resample(lesions, grid.array.shape, grid.affine)[box] > 0.5
    smallest = MorphologySettings().min_volume_ml
    results = []
    for chosen in SETS:
        table = healthy_table(chosen)
        deviation = deviation_map(prepared, {m: maps[m] for m in chosen})
        score = score_from_deviation(deviation, table.levels, table.healthy_ml) * scored
        masks = [without_small(hysteresis(score, prepared.brain, low, high), smallest, grid.voxel_ml) for high, low in CUTS]
        figures = [float(m.sum()) * grid.voxel_ml if truth is None else dice(m, truth) for m in masks]
        results.append((truth is not None, figures))
    return results


def table(name: str, healthy: Sequence[Sequence[float]], ill: Sequence[Sequence[float]]) -> str:
    """One line for every cut."""
    rows = zip(CUTS, np.mean(ill, 0), np.median(healthy, 0), strict=True)
    return "\n".join(f"| {name} | {high:g} over {low:g} | {d:.3f} | {ml:.2f} |" for (high, low), d, ml in rows)


def main(patients: int = 24, seed: int = 0, workers: int = 2) -> None:
    """Mean Dice with lesions, and median false positives without, for every cut."""
    with processes(workers) as pool:
        results = list(pool.map(measure, range(seed, seed + patients)))
    typer.echo("| contrasts | hysteresis | mean Dice | median healthy ml |\n| --- | --- | --- | --- |")
    for n, chosen in enumerate(SETS):
        rows = [r[n] for r in results]
        typer.echo(table("+".join(m.value for m in chosen), [f for ill, f in rows if not ill], [f for ill, f in rows if ill]))


if __name__ == "__main__":
    typer.run(main)
