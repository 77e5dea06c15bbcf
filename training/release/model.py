"""Everything in ``Resources/Model``: ``python -m training.release.model WEIGHTS``.

1. The weights, in half precision, with their SHA-256.
2. The embeddings of healthy patches: slices of held-out label maps and of real healthy heads.
3. The weights of the fusion, fitted on implanted lesions in synthetic patients from held-out label
    maps
   and in real healthy scans (`synthesis.implanted`), in equal parts; sets of modalities that no
   real scan has borrow those of their parts.
4. The exceedance tables of every score, as in `release.exceedance`.

It takes about 40 minutes on two cores. Version and changelog in the metadata are written by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from BrainSSLAnomalyLib.core.files import sha256
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.detection.network_detector import (
    LATENT_SCORES,
    network_scores,
    predict_study,
)
from BrainSSLAnomalyLib.detection.statistics import (
    compute_zscores,
    peak_level,
    scored_voxels,
    statistical_scores,
)
from BrainSSLAnomalyLib.network.bundle import WEIGHTS
from BrainSSLAnomalyLib.network.model import BUNDLE, PATCHES, load_hybrid_network
from BrainSSLAnomalyLib.preparation import PreparedStudy
from BrainSSLAnomalyLib.scoring.exceedance import table_key
from BrainSSLAnomalyLib.scoring.fusion import FEATURES, LIMITS, features, fusion
from safetensors.torch import load_file
from scipy.stats import trim_mean

from ..data import heads
from ..data.label_archive import ARCHIVE, read
from ..engine.config import read_config
from ..engine.processes import prepare_as_shipped, process_pool, shipped_model
from ..synthesis.implanted import draw_implanted_patient
from ..synthesis.patients import Case, held_out_cases
from ..tasks.anomaly import AnomalySettings, network_weights
from ..tasks.slices import SliceSampler, SliceSettings
from .bundle import RESOURCES, half_precision, save_tensors, update_metadata, write_json
from .exceedance import (
    ENOUGH_SCANS,
    TRIMMED,
    bound_by_subsets,
    find_subsets,
    list_healthy_studies,
    mean_exceedance,
)

FOLDER = RESOURCES / BUNDLE
FUSION, EXCEEDANCE = FOLDER / "configs" / "fusion.json", FOLDER / "configs" / "exceedance.json"

SETS = (
    (Modality.FLAIR,),
    (Modality.T2,),
    (Modality.T1,),
    (Modality.T2, Modality.T1),
    (Modality.FLAIR, Modality.T2),
    (Modality.FLAIR, Modality.T2, Modality.T1),
)
"""Sets of modalities that are fitted and measured; others borrow from the most similar."""

MOST_LESION, MOST_HEALTHY = 4000, 20_000
"""Voxels taken from a synthetic patient to fit the fusion."""

RANGES: dict[ScoreName, tuple[float, float]] = {
    ScoreName.FUSED: (-14, 16),
    ScoreName.LOGIT: (-12, 12),
    ScoreName.L1: (0, 6),
    ScoreName.L2: (0, 30),
    ScoreName.SSIM: (0, 1.8),
    ScoreName.EUCLIDEAN: (0, 2),
    ScoreName.COSINE: (0, 2),
    ScoreName.MAHALANOBIS: (0, 10),
    ScoreName.KDE: (-5, 25),
    ScoreName.ASYMMETRY: (-10, 10),
}
"""Of the levels in the tables."""

LEVELS = 150
"""Number of levels in a table."""


def write_weights(weights: Path, config: str) -> None:
    """Write the weights (step 1)."""
    settings = read_config(config)[0]
    if not isinstance(settings, AnomalySettings):
        raise typer.BadParameter(f"{config} trains another network", param_hint="--config")
    update_metadata(FOLDER, network_settings=settings.network.to_dict())
    shipped = half_precision(network_weights(load_file(weights)))
    save_tensors(FOLDER.joinpath(*WEIGHTS), shipped)
    update_metadata(FOLDER, weights_sha256=sha256(FOLDER.joinpath(*WEIGHTS)))


def write_patches(archive: Path, real_heads: Path, batches: int = 30) -> None:
    """Write the embeddings of healthy patches (step 2)."""
    from sklearn.covariance import LedoitWolf

    network = load_hybrid_network()
    found = []
    samplers = [SliceSampler(read(archive), SliceSettings(), held_out=True)]
    samplers.append(SliceSampler(read(archive), SliceSettings(real=1.0), heads.read(real_heads)))
    generator = torch.Generator().manual_seed(11)
    with torch.inference_mode():
        for n in range(batches):
            batch = samplers[n % 3 == 2](1, generator)
            found.append(
                _brain_patches(network(batch.healthy, batch.present).patches, batch.inside)
            )
    patches = torch.cat(found)
    patches = patches[torch.randperm(len(patches), generator=generator)]
    fitted = LedoitWolf().fit(patches.double().numpy())
    arrays = {
        "mean": torch.from_numpy(fitted.location_),
        "precision": torch.from_numpy(fitted.precision_),
        "sample": patches[:512],
    }
    save_tensors(
        FOLDER.joinpath(*PATCHES),
        {name: values.float().contiguous() for name, values in arrays.items()},
    )
    update_metadata(FOLDER, healthy_patches_sha256=sha256(FOLDER.joinpath(*PATCHES)))
    typer.echo(f"{len(patches)} healthy patches")


def fit_fusion(patients: int, implants: int, workers: int) -> None:
    """Fit the weights of the fusion (step 3)."""
    cases = held_out_cases(2000, patients, 0, implants)
    rows: dict[str, dict[str, list[np.ndarray]]] = defaultdict(lambda: defaultdict(list))
    with process_pool(workers) as pool:
        for (kind, seed), taken in zip(cases, pool.map(_sample_voxels, cases), strict=True):
            for key, table in taken.items():
                rows[key][kind.__name__].append(table)
            typer.echo(f"{kind.__name__} {seed}")
    write_json(FUSION, {table_key(chosen): fit_fusion_weights(chosen, rows) for chosen in SETS})


def fit_fusion_weights(
    modalities: tuple[Modality, ...], rows: Mapping[str, Mapping[str, list[np.ndarray]]]
) -> dict[str, Any]:
    """Fit the fusion of one set of modalities.

    A set that no real scan with lesions has borrows those of its parts: on synthetic patients
    alone, which resemble the training data of the network, its logit would be trusted too much.

    Args:
        modalities: the set.
        rows: key → kind of patient → what `_sample_voxels` returns for each.

    Returns:
        The entry of the set in the file.
    """
    from sklearn.linear_model import LogisticRegression

    key = table_key(modalities)
    borrowed = [
        table
        for part in find_subsets(key, rows)
        for table in rows[part].get(draw_implanted_patient.__name__, ())
    ]
    kinds = dict(rows[key])
    kinds.setdefault(draw_implanted_patient.__name__, borrowed)
    table = np.concatenate([_equalise_weights(tables) for tables in kinds.values() if tables])
    columns, truth, weight = table[:, : len(FEATURES)], table[:, -2] > 0, table[:, -1]
    used = [FEATURES.index(name) for name in features(modalities)]
    while True:  # a feature that would count against an anomaly is left out
        fitted = LogisticRegression(C=1.0, max_iter=1000).fit(columns[:, used], truth, weight)
        if (fitted.coef_[0] >= 0).all():
            break
        used.pop(int(np.argmin(fitted.coef_[0])))
    weights = {
        FEATURES[n].value: round(float(w), 4) for n, w in zip(used, fitted.coef_[0], strict=True)
    }
    entry = {
        "weights": weights,
        "constant": round(float(fitted.intercept_[0]), 4),
        "patients": sum(map(len, kinds.values())),
    }
    typer.echo(f"{key}: {entry}")
    return entry


def measure_healthy(synthetic: int, workers: int, seed: int = 1000) -> None:
    """Measure the exceedance tables (step 4)."""
    above: dict[tuple[ScoreName, str], dict[str, list[np.ndarray]]] = defaultdict(
        lambda: {"real": [], "synthetic": []}
    )
    peaks: dict[tuple[ScoreName, str], list[float]] = defaultdict(list)
    with process_pool(workers) as pool:
        for name, results in pool.map(_measure_item, list_healthy_studies(synthetic, seed)):
            for score, key, ml, peak in results:
                above[score, key]["synthetic" if name.startswith("synthetic") else "real"].append(
                    ml
                )
                peaks[score, key].append(round(peak, 3))
            typer.echo(
                f"{name}: "
                + ", ".join(
                    f"{k} 0.1 ml above {p:.2f}" for s, k, _, p in results if s is ScoreName.FUSED
                )
            )
    content = {}
    for score, (low, high) in RANGES.items():
        kinds = {key: volumes for (s, key), volumes in above.items() if s is score}
        volumes = bound_by_subsets(
            {key: cautious_exceedance(v) for key, v in kinds.items()},
            {k for k, v in kinds.items() if v["real"]},
        )
        tables = {
            key: {
                "healthy_ml": [round(float(v), 5) for v in volumes[key]],
                "peaks": sorted(peaks[score, key]),
            }
            for key in sorted(volumes)
        }
        content[score.value] = {
            "levels": np.round(np.linspace(low, high, LEVELS), 4).tolist(),
            "tables": tables,
        }
    write_json(EXCEEDANCE, content)


def cautious_exceedance(kinds: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """Return the mean volume above each level, with few real scans at least that of synthetic ones.

    The single real FLAIR has a far heavier tail than synthetic ones, and is of a young person: with
    half of it (as in the statistical table), the default thresholds marked too much around
    implanted lesions.
    """
    if len(kinds["real"]) >= ENOUGH_SCANS:
        return mean_exceedance(kinds)
    means = [trim_mean(scans, TRIMMED, axis=0) for scans in kinds.values() if scans]
    return np.asarray(np.max(means, axis=0))


def _equalise_weights(tables: list[np.ndarray]) -> np.ndarray:
    """Return all rows, their weights (last column) scaled to a sum of one million."""
    table = np.concatenate(tables)
    table[:, -1] *= 1e6 / table[:, -1].sum()
    return table


def _sample_voxels(case: Case) -> dict[str, np.ndarray]:
    """Return key → (n, features + truth + weight) of one patient with known lesions."""
    draw, seed = case
    study, lesions = draw(seed)
    prepared = prepare_as_shipped(study)
    grid, scored = prepared.reference, scored_voxels(prepared)
    truth = np.zeros(scored.shape, bool)
    if lesions is not None:
        truth = resample(lesions, grid.grid)[prepared.box] > 0.5
    rng, taken = np.random.default_rng(seed), {}
    for chosen, scores in _score_sets(prepared, FEATURES, fuse=False):
        places, weights = [], []
        for where, most in ((scored & truth, MOST_LESION), (scored & ~truth, MOST_HEALTHY)):
            index = np.flatnonzero(where)
            places.append(rng.permutation(index)[:most])
            share = 1 if most == MOST_LESION else len(index) / max(1, len(places[-1]))
            weights.append(np.full(len(places[-1]), share))
        at = np.concatenate(places)
        columns = [np.clip(scores[name].ravel()[at], *LIMITS[name]) for name in FEATURES]
        table = np.stack([*columns, truth.ravel()[at], np.concatenate(weights)], 1)
        taken[table_key(chosen)] = table.astype(np.float32)
    return taken


def _measure_item(
    item: tuple[str, Any],
) -> tuple[str, list[tuple[ScoreName, str, np.ndarray, float]]]:
    """Return the name, and for every score and set of modalities ml above each level and peak."""
    name, study = item
    prepared, results = prepare_as_shipped(study()), []
    scored = scored_voxels(prepared)
    single = tuple(s for s in RANGES if s is not ScoreName.FUSED)
    for chosen, scores in _score_sets(prepared, single, fuse=True):
        for score, (low, high) in RANGES.items():
            values = np.sort(scores[score][scored])
            below = np.searchsorted(values, np.linspace(low, high, LEVELS))
            above = (values.size - below) * prepared.reference.voxel_ml
            results.append((score, table_key(chosen), above, peak_level(prepared, scores[score])))
    return name, results


def _score_sets(
    prepared: PreparedStudy, wanted: Iterable[ScoreName], *, fuse: bool
) -> Iterator[tuple[tuple[Modality, ...], dict[ScoreName, np.ndarray]]]:
    """Yield every set of modalities that the study has, and its scores."""
    zscores = compute_zscores(prepared)
    needed_scores = tuple(dict.fromkeys([*wanted, *FEATURES]))
    latent = tuple(s for s in needed_scores if s in LATENT_SCORES)
    sets = [
        c
        for n in range(1, len(zscores) + 1)
        for c in combinations(zscores, n)
        if set(c) in [set(s) for s in SETS]
    ]
    for chosen in sets:
        known = statistical_scores(prepared, {m: zscores[m] for m in chosen}, needed_scores)
        predicted = predict_study(prepared, shipped_model(), chosen, latent=latent)
        scores = network_scores(predicted, known, needed_scores)
        if fuse:
            scores[ScoreName.FUSED] = fusion(chosen)(scores)
        yield chosen, scores


def _brain_patches(patches: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    """Return the embeddings (n, e) of patches that are mostly brain."""
    size = (patches.shape[2], patches.shape[3])
    share = torch.nn.functional.adaptive_avg_pool2d(brain, size)[:, 0]
    return patches.movedim(1, -1)[share > 0.5]


def main(
    weights: Annotated[
        Path | None,
        typer.Argument(
            help="From python -m training.train anomaly_cpu; without them the bundle's stay."
        ),
    ] = None,
    config: Annotated[
        str, typer.Option(help="That the weights were trained with.")
    ] = "anomaly_cpu",
    archive: Path = ARCHIVE,
    real_heads: Path = heads.HEADS,
    patients: Annotated[int, typer.Option(help="Synthetic patients to fit the fusion on.")] = 8,
    implants: Annotated[
        int, typer.Option(help="Real healthy scans with lesions put in, to fit it on.")
    ] = 12,
    synthetic: Annotated[
        int, typer.Option(help="Synthetic healthy scans beside the real ones.")
    ] = 6,
    workers: int = 2,
    from_step: Annotated[int, typer.Option(help="Leave out the steps before this one.")] = 1,
) -> None:
    """Write the bundle."""
    if weights is not None and from_step <= 1:
        write_weights(weights, config)
    if from_step <= 2:
        write_patches(archive, real_heads)
    if from_step <= 3:
        fit_fusion(patients, implants, workers)
    measure_healthy(synthetic, workers)


if __name__ == "__main__":
    typer.run(main)
