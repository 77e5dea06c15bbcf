"""What each score, the fusion, the transformer and the test-time copies are worth.

``python -m training.benchmark.ablation`` also measures each kind of synthetic anomaly, one of which
the network was never trained on. It uses synthetic patients from held-out label maps, and real
healthy scans with implanted lesions; the seeds differ from those that the fusion was fitted on, the
healthy scans that carry the lesions are the same few. The test set is not evaluated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import ScoreName, default_segmentation
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.detection.network_detector import (
    LATENT_SCORES,
    network_scores,
    predict_study,
    scores_needed,
)
from BrainSSLAnomalyLib.detection.statistics import (
    compute_zscores,
    scored_voxels,
    statistical_scores,
)
from BrainSSLAnomalyLib.imageio import RESEARCH_USE
from BrainSSLAnomalyLib.network.model import Model, load_hybrid_network
from BrainSSLAnomalyLib.network.torch_engine import TorchEngine
from BrainSSLAnomalyLib.preparation import PreparedStudy
from BrainSSLAnomalyLib.scoring.exceedance import exceedance_table
from BrainSSLAnomalyLib.scoring.fusion import fusion
from BrainSSLAnomalyLib.scoring.region_trimming import anomaly_score
from BrainSSLAnomalyLib.segmentation import morphology
from BrainSSLAnomalyLib.segmentation.thresholds import hysteresis
from numpy.typing import NDArray
from torch import nn

from ..data.label_archive import ARCHIVE, read
from ..engine.config import read_config
from ..engine.processes import prepare_as_shipped, process_pool, shipped_model
from ..release.model import SETS
from ..synthesis.implanted import draw_implanted_patient
from ..synthesis.patients import Case, held_out_cases
from ..tasks.anomaly import AnomalySettings
from . import kinds
from .measures import dice, measure_score
from .summary import bootstrap_interval
from .tables import END, START, format_markdown, format_number, rewrite

TARGET = Path(__file__).resolve().parents[2] / "docs" / "ablation.md"
FIRST_PATIENT, FIRST_IMPLANT = 12_000, 1_200
"""First seeds; those of the fusion's fit are smaller."""

FUSED = "fusion"
TEST_TIME, NO_TRANSFORMER = f"{FUSED}, test-time copies", f"{FUSED}, transformer bypassed"
SINGLE = {name.value: name for name in ScoreName if name is not ScoreName.FUSED}

PAGE = f"""# Ablation

{RESEARCH_USE} This page shows what each part contributes. It needs no patient:
the scans are synthetic patients from held-out label maps, and real healthy scans with implanted
lesions.

```sh
python -m training.benchmark.ablation
```

How to read the tables:

* **Scores**: mean **average precision**, which needs no threshold. After the stroke, mean **Dice**
  at the default thresholds with the score's own exceedance table. Below, from three patients on,
  the bootstrap interval of the average precision. In the columns of healthy scans: median ml marked
  at the default thresholds.
* The weights of the fusion were fitted on other seeds of the same kinds. Its real scans are the
  same.
* *Transformer bypassed*: the same weights without the transformer's blocks. It is not a network
  trained without a transformer.
* **Kinds**: average precision over all voxels of slices of held-out label maps, one contrast at a
  time, for the anomaly logit and the reconstruction error (L1).

{START}
{END}
"""


@dataclass(frozen=True)
class Figures:
    """Figures of one variant on one patient.

    Attributes:
        average_precision: NaN without lesions.
        dice: NaN without lesions.
        found_ml: volume marked; NaN with lesions.
    """

    average_precision: float
    dice: float
    found_ml: float


def measure(case: Case) -> list[tuple[str, str, Figures]]:
    """Measure every set of modalities of one patient, as column, variant and figures."""
    draw, seed = case
    study, lesions = draw(seed)
    prepared = prepare_as_shipped(study)
    truth = None
    if lesions is not None:
        grid = prepared.reference
        truth = resample(lesions, grid.grid)[prepared.box] > 0.5
    kind = (
        "real, implanted lesions"
        if draw is draw_implanted_patient
        else "synthetic"
        if truth is not None
        else "synthetic healthy"
    )
    return [
        (
            f"{'+'.join(m.value for m in chosen)}, {kind}",
            name,
            _figures(prepared, unusual, score, chosen, truth),
        )
        for chosen in SETS
        if set(chosen) <= set(study.modalities)
        for name, score, unusual in _score_variants(prepared, chosen)
    ]


def format_table(rows: Sequence[tuple[str, str, Figures]]) -> str:
    """Format a line for every variant and a column for every kind of patient."""
    cells: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for column, name, figures in rows:
        cells[name, column].append(figures)
    columns = sorted({c for c, _, _ in rows}, key=lambda c: ("healthy" in c, c))
    head = ["score", *(f"{c} (n = {len(cells[FUSED, c])})" for c in columns)]
    names = list(dict.fromkeys(name for _, name, _ in rows))
    return format_markdown(
        head, ([name, *(_cell(cells[name, c]) for c in columns)] for name in names)
    )


def _cell(figures: Sequence[Figures]) -> str:
    if not figures:
        return "–"
    if np.isnan(figures[0].dice):
        return f"{np.median([f.found_ml for f in figures]):.2f} ml"
    precision = [f.average_precision for f in figures]
    between = bootstrap_interval(precision)
    means = (float(np.mean(precision)), float(np.mean([f.dice for f in figures])))
    words = " / ".join(format_number(mean) for mean in means)
    return words + (f" <br> {between[0]:.2f} to {between[1]:.2f}" if between else "")


def _score_variants(
    prepared: PreparedStudy, chosen: tuple[Modality, ...]
) -> Iterator[tuple[str, ScoreName, NDArray[np.float32]]]:
    """Score the box with every variant.

    Yields:
        Name, the score whose table calibrates it, and its values in the box.
    """
    zscores = compute_zscores(prepared)
    known = statistical_scores(prepared, {m: zscores[m] for m in chosen}, tuple(ScoreName))
    fused, parts = fusion(chosen), scores_needed(ScoreName.FUSED, chosen)

    def scores(
        model: Model, *, test_time: bool = False, wanted: tuple[ScoreName, ...] = parts
    ) -> Mapping:
        latent = tuple(n for n in LATENT_SCORES if n in wanted)
        predicted = predict_study(prepared, model, chosen, test_time=test_time, latent=latent)
        found: Mapping = network_scores(predicted, known, wanted)
        return found

    plain = scores(shipped_model(), wanted=tuple(SINGLE.values()))
    yield from ((name, score, plain[score]) for name, score in SINGLE.items())
    yield FUSED, ScoreName.FUSED, fused(plain)
    yield TEST_TIME, ScoreName.FUSED, fused(scores(shipped_model(), test_time=True))
    yield NO_TRANSFORMER, ScoreName.FUSED, fused(scores(_bypass_transformer()))


def _figures(
    prepared: PreparedStudy,
    unusual: NDArray[np.float32],
    name: ScoreName,
    chosen: tuple[Modality, ...],
    truth: NDArray[np.bool_] | None,
) -> Figures:
    settings = default_segmentation(chosen)
    score = anomaly_score(unusual, scored_voxels(prepared), exceedance_table(chosen, name), name)
    mask = hysteresis(score, prepared.brain, settings.threshold.low, settings.threshold.threshold)
    mask = morphology.apply(
        mask,
        prepared.brain,
        prepared.reference.spacing,
        prepared.reference.voxel_ml,
        settings.morphology,
    )
    if truth is None:
        return Figures(np.nan, np.nan, float(mask.sum()) * prepared.reference.voxel_ml)
    rank = np.where(scored_voxels(prepared), unusual - unusual.min() + 1, 0).astype(
        np.float32
    )  # the table's steps would cost order
    return Figures(measure_score(rank, truth)[1], dice(mask, truth), np.nan)


@lru_cache(maxsize=1)
def _bypass_transformer() -> Model:
    network = load_hybrid_network()
    network.transformer = nn.ModuleList()
    return replace(shipped_model(), engine=TorchEngine(network))


def main(
    patients: Annotated[int, typer.Option(help="Synthetic patients, a third of them healthy.")] = 6,
    implants: Annotated[
        int,
        typer.Option(help="Real healthy scans with implanted lesions: FLAIR, T2 and T1 in turn."),
    ] = 12,
    archive: Path = ARCHIVE,
    workers: int = 2,
    target: Annotated[
        Path,
        typer.Option(
            help="Page whose table is replaced; made if it does not exist.", show_default=False
        ),
    ] = TARGET,
) -> None:
    """Measure, and rewrite the table of the ablation page."""
    cases = held_out_cases(FIRST_PATIENT, patients, FIRST_IMPLANT, implants)
    rows: list[tuple[str, str, Figures]] = []
    with process_pool(workers) as pool:
        for (draw, seed), found in zip(cases, pool.map(measure, cases), strict=True):
            rows += found
            figures = (
                f"{column} {f.average_precision:.2f}/{f.dice:.2f}"
                for column, name, f in found
                if name == FUSED
            )
            typer.echo(f"{draw.__name__} {seed}: " + "; ".join(figures), err=True)
    left_out = read_config("anomaly_cpu")[0]
    assert isinstance(left_out, AnomalySettings)
    of_kinds = kinds.format_table(kinds.measure_kinds(read(archive)), left_out.slices.without)
    rewrite(target, f"## Scores\n\n{format_table(rows)}\n\n## Kinds\n\n{of_kinds}", PAGE)
    typer.echo(target)


if __name__ == "__main__":
    typer.run(main)
