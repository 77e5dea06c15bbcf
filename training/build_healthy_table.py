"""Measure how unusual healthy brains get: ``python -m training.build_healthy_table`` (about 8 minutes on two cores).

Healthy scans are the 20 IXI calibration subjects (T1), the FLAIR and T2 of one healthy person, and synthetic healthy
scans drawn from the label maps (FLAIR, T1 and T2). For every set of modalities the mean volume above each deviation is
kept (a trimmed mean), and for every scan the deviation that 0.1 ml of it exceeds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import combinations

import numpy as np
import typer
from BrainSSLAnomalyLib.detector import deviation_map, peak_deviation, scored_voxels, zscore_maps
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare
from BrainSSLAnomalyLib.scoring.healthy_table import table_key
from BrainSSLAnomalyLib.study import Modality, Scan, Study
from scipy.stats import trim_mean

from .build_anatomy import OUT
from .data import DATA, load
from .synthesis.scans import draw_scan

LEVELS = np.round(np.arange(0, 15.01, 0.1), 2)
TRIMMED = 0.1
"""Share of scans left out at either end: one failed registration must not set the score of everybody."""

Measured = tuple[str, np.ndarray, float]


def healthy_studies(synthetic: int, seed: int) -> Iterator[tuple[str, Callable[[], Study]]]:
    """Name of every healthy scan, and how to get it."""
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz")):
        yield path.name, partial(_read, {Modality.T1: path})
    single = DATA / "healthy" / "singles"
    yield "a_FLAIR, a_T2", partial(_read, {m: single / f"a_{m.value}.nii.gz" for m in (Modality.FLAIR, Modality.T2)})
    maps = sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))
    for n in range(synthetic):
        yield f"synthetic {seed + n}", partial(_draw, maps[n % len(maps)], seed + n)


def _read(paths):
    return Study({m: Scan(load(p), m, p.name) for m, p in paths.items()})


def _draw(labels, seed: int) -> Study:
    drawn = draw_scan(load(labels), (Modality.FLAIR, Modality.T1, Modality.T2), np.random.default_rng(seed))
    return Study({m: Scan(v, m, f"synthetic {seed}") for m, v in drawn.scans.items()})


def measure(prepared: PreparedStudy) -> Iterator[Measured]:
    """Key, exceedance in ml at `LEVELS`, and peak, for every set of the modalities present."""
    maps = zscore_maps(prepared)
    scored = scored_voxels(prepared)
    for count in range(1, len(maps) + 1):
        for chosen in combinations(maps, count):
            deviation = deviation_map(prepared, {m: maps[m] for m in chosen})
            values = np.sort(deviation[scored])
            above = (values.size - np.searchsorted(values, LEVELS)) * prepared.reference.voxel_ml
            yield table_key(chosen), above, peak_deviation(prepared, deviation)


def _measured(item: tuple[str, Callable[[], Study]]) -> tuple[str, list[Measured]]:
    name, study = item
    return name, list(measure(prepare(study())))


def main(synthetic: int = 20, seed: int = 1000, workers: int = 2) -> None:
    """Write ``Resources/Anatomy/healthy.json``."""
    above, peaks = defaultdict(list), defaultdict(list)
    with ProcessPoolExecutor(workers) as pool:
        for name, results in pool.map(_measured, healthy_studies(synthetic, seed)):
            for key, ml, peak in results:
                above[key].append(ml)
                peaks[key].append(round(peak, 3))
                print(f"{name}: {key}, 0.1 ml above {peak:.2f}", flush=True)
    tables = {
        key: {"healthy_ml": [round(float(v), 5) for v in trim_mean(above[key], TRIMMED, axis=0)], "peaks": sorted(peaks[key])}
        for key in sorted(above)
    }
    (OUT / "healthy.json").write_text(json.dumps({"levels": LEVELS.tolist(), "tables": tables}), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
