"""Measure how unusual healthy brains get: ``python -m training.build_healthy_table`` (about 40 minutes on two cores).

Healthy scans are the 20 IXI calibration subjects (T1), the FLAIR and T2 of one healthy person, and synthetic healthy
scans drawn from the label maps (FLAIR, T1 and T2). For every set of modalities the mean volume above each deviation is
kept, and for every scan the deviation that 0.1 ml of it exceeds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import typer
from BrainSSLAnomalyLib.detector import deviation_map, peak_deviation, scored_voxels, zscore_maps
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare
from BrainSSLAnomalyLib.scoring.healthy_table import table_key
from BrainSSLAnomalyLib.study import Modality, Scan, Study

from .build_anatomy import OUT
from .data import DATA, load
from .synthesis.scans import draw_scan

LEVELS = np.round(np.arange(0, 15.01, 0.1), 2)


def healthy_studies(synthetic: int, seed: int) -> Iterator[tuple[str, Study]]:
    """Name and study of every healthy scan."""
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz")):
        yield path.name, Study({Modality.T1: Scan(load(path), Modality.T1, path.name)})
    single = DATA / "healthy" / "singles"
    yield (
        "a_FLAIR, a_T2",
        Study({m: Scan(load(single / f"a_{m.value}.nii.gz"), m, f"a_{m.value}") for m in (Modality.FLAIR, Modality.T2)}),
    )
    maps = sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))
    for n in range(synthetic):
        drawn = draw_scan(load(maps[n % len(maps)]), (Modality.FLAIR, Modality.T1, Modality.T2), np.random.default_rng(seed + n))
        yield f"synthetic {seed + n}", Study({m: Scan(v, m, f"synthetic {seed + n}") for m, v in drawn.scans.items()})


def measure(prepared: PreparedStudy) -> Iterator[tuple[str, np.ndarray, float]]:
    """Key, exceedance in ml at `LEVELS`, and peak, for every set of the modalities present."""
    maps = zscore_maps(prepared)
    scored = scored_voxels(prepared)
    for count in range(1, len(maps) + 1):
        for chosen in combinations(maps, count):
            deviation = deviation_map(prepared, {m: maps[m] for m in chosen})
            values = np.sort(deviation[scored])
            above = (values.size - np.searchsorted(values, LEVELS)) * prepared.reference.voxel_ml
            yield table_key(chosen), above, peak_deviation(prepared, deviation)


def main(synthetic: int = 16, seed: int = 1000) -> None:
    """Write ``Resources/Anatomy/healthy.json``."""
    above, peaks = defaultdict(list), defaultdict(list)
    for name, study in healthy_studies(synthetic, seed):
        for key, ml, peak in measure(prepare(study)):
            above[key].append(ml)
            peaks[key].append(round(peak, 3))
            print(f"{name}: {key}, 0.1 ml above {peak:.2f}", flush=True)
    tables = {
        key: {"healthy_ml": [round(float(v), 5) for v in np.mean(above[key], 0)], "peaks": sorted(peaks[key])} for key in sorted(above)
    }
    (OUT / "healthy.json").write_text(json.dumps({"levels": LEVELS.tolist(), "tables": tables}), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
