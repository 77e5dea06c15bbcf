"""Exceedance tables, how unusual healthy brains get: ``python -m training.release.exceedance``.

Healthy scans are the 20 IXI calibration subjects (T1), the FLAIR and T2 of one healthy person, and
synthetic healthy scans drawn from the label maps (FLAIR, T1 and T2). For every set of modalities
the mean volume above each deviation is kept (trimmed means; real and synthetic scans count half
each where real ones are few), and for every scan the deviation that 0.1 ml of it exceeds. It takes
about 10 minutes on two cores.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import typer
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study
from BrainSSLAnomalyLib.detection.statistics import (
    compute_deviation,
    compute_zscores,
    peak_level,
    scored_voxels,
)
from BrainSSLAnomalyLib.preparation import PreparedStudy
from BrainSSLAnomalyLib.scoring.exceedance import table_key
from scipy.stats import trim_mean

from ..data.files import DATA, load
from ..engine.processes import prepare_as_shipped, process_pool
from ..synthesis.scans import draw_scan
from .anatomy import ANATOMY

LEVELS = np.round(np.arange(0, 15.01, 0.1), 2)
"""Deviations of the table."""
TRIMMED = 0.1
"""Share of scans left out at either end: one failed registration must not set the score of
everybody.
"""
ENOUGH_SCANS = 10
"""Real scans that make synthetic ones unnecessary."""

Measured = tuple[str, np.ndarray, float]
"""Key of a set of modalities, ml above each level, and peak."""


def list_healthy_studies(synthetic: int, seed: int) -> Iterator[tuple[str, Callable[[], Study]]]:
    """Yield the name of every healthy scan, and a function that reads or draws it."""
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz")):
        yield path.name, partial(_read_study, {Modality.T1: path})
    single = DATA / "healthy" / "singles"
    yield (
        "a_FLAIR, a_T2",
        partial(
            _read_study, {m: single / f"a_{m.value}.nii.gz" for m in (Modality.FLAIR, Modality.T2)}
        ),
    )
    maps = sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz"))
    for n in range(synthetic):
        yield f"synthetic {seed + n}", partial(_draw_study, maps[n % len(maps)], seed + n)


def _read_study(paths: Mapping[Modality, Path]) -> Study:
    return Study({m: Scan(load(p), m, p.name) for m, p in paths.items()})


def _draw_study(labels: Path, seed: int) -> Study:
    drawn = draw_scan(
        load(labels), (Modality.FLAIR, Modality.T1, Modality.T2), np.random.default_rng(seed)
    )
    return Study({m: Scan(v, m, f"synthetic {seed}") for m, v in drawn.scans.items()})


def measure(prepared: PreparedStudy) -> Iterator[Measured]:
    """Measure a study with every set of its modalities.

    Yields:
        Key, exceedance in ml at `LEVELS`, and peak.
    """
    maps = compute_zscores(prepared)
    scored = scored_voxels(prepared)
    for count in range(1, len(maps) + 1):
        for chosen in combinations(maps, count):
            deviation = compute_deviation(prepared, {m: maps[m] for m in chosen})
            values = np.sort(deviation[scored])
            above = (values.size - np.searchsorted(values, LEVELS)) * prepared.reference.voxel_ml
            yield table_key(chosen), above, peak_level(prepared, deviation)


def _measure_item(item: tuple[str, Callable[[], Study]]) -> tuple[str, list[Measured]]:
    name, study = item
    return name, list(measure(prepare_as_shipped(study())))


def mean_exceedance(kinds: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """Return the mean volume above each level.

    Real scans alone count where there are enough, else real and synthetic ones count half each.
    """
    if len(kinds["real"]) >= ENOUGH_SCANS:
        return np.asarray(trim_mean(kinds["real"], TRIMMED, axis=0))
    means = [trim_mean(scans, TRIMMED, axis=0) for scans in kinds.values() if scans]
    return np.asarray(np.mean(means, axis=0))


def find_subsets(key: str, others: Iterable[str]) -> list[str]:
    """Find the keys that hold part of the modalities of a key.

    Args:
        key: with a FLAIR, if its subsets shall have one.
        others: keys, as `table_key` makes them.
    """
    parts = set(key.split("+"))
    return [k for k in others if set(k.split("+")) < parts and ("flair" in k) == ("flair" in parts)]


def bound_by_subsets(volumes: Mapping[str, np.ndarray], real: set[str]) -> dict[str, np.ndarray]:
    """Bound sets of modalities that no real scan has by their largest subsets that one has.

    Synthetic contrasts are aligned and consistent to a degree that scanners never reach, so the set
    is taken to be no rarer than these subsets.
    """
    out = {}
    for key, own in volumes.items():
        inner = find_subsets(key, real)
        most = max((k.count("+") for k in inner), default=0)
        out[key] = np.maximum.reduce(
            [own, *(volumes[k] for k in inner if k.count("+") == most and key not in real)]
        )
    return out


def main(synthetic: int = 20, seed: int = 1000, workers: int = 2) -> None:
    """Write ``Resources/Anatomy/exceedance.json``."""
    above: dict[str, dict[str, list[np.ndarray]]] = defaultdict(
        lambda: {"real": [], "synthetic": []}
    )
    peaks = defaultdict(list)
    with process_pool(workers) as pool:
        for name, results in pool.map(_measure_item, list_healthy_studies(synthetic, seed)):
            for key, ml, peak in results:
                above[key]["synthetic" if name.startswith("synthetic") else "real"].append(ml)
                peaks[key].append(round(peak, 3))
                print(f"{name}: {key}, 0.1 ml above {peak:.2f}", flush=True)
    at = int(np.flatnonzero(LEVELS == 4.0)[0])
    for key, kinds in above.items():
        means = {kind: np.mean(scans, 0)[at] for kind, scans in kinds.items() if scans}
        print(key, *(f"{kind}: {ml:.2f} ml above 4 SD" for kind, ml in means.items()), sep=", ")
    volumes = bound_by_subsets(
        {key: mean_exceedance(kinds) for key, kinds in above.items()},
        {k for k, v in above.items() if v["real"]},
    )
    tables = {
        key: {"healthy_ml": [round(float(v), 5) for v in volumes[key]], "peaks": sorted(peaks[key])}
        for key in sorted(volumes)
    }
    (ANATOMY / "exceedance.json").write_text(
        json.dumps({"levels": LEVELS.tolist(), "tables": tables}), encoding="utf-8"
    )


if __name__ == "__main__":
    typer.run(main)
