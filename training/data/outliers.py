"""Training scans that stand out from the others: ``python -m training.data.outliers``.

Every scan is scored by the shipped network. Those far above the others are named in
``results/outliers.json``, for a person to inspect and for ``python -m training.data.heads --without
results/outliers.json`` to leave out. The rule is that of Iglewicz and Hoaglin (How to Detect and
Handle Outliers, ASQC 1993): a modified z, 0.6745 (x − median) / MAD, above 3.5; here on the upper
side alone.

A network finds its own training scans less unusual: a scan that is named stands out in spite of
that, and one that is not named has not been proven healthy. Healthy scans that differ (age, motion)
are named too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from BrainSSLAnomalyLib.core.errors import BrainSSLAnomalyError
from BrainSSLAnomalyLib.core.files import write_text
from BrainSSLAnomalyLib.core.settings import ScoreName
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume
from BrainSSLAnomalyLib.detection.network_detector import (
    LATENT_SCORES,
    network_scores,
    predict_study,
)
from BrainSSLAnomalyLib.detection.statistics import scored_voxels
from BrainSSLAnomalyLib.imageio import read_scan
from BrainSSLAnomalyLib.network.model import Model

from ..engine.processes import prepare_as_shipped, process_pool, shipped_model
from . import heads

OUTLIERS = Path("results/outliers.json")
SCORES = (ScoreName.LOGIT, ScoreName.L1, ScoreName.MAHALANOBIS)
"""Anomaly logit, reconstruction error and embedding distance; a scan far off in one is named."""

EXCEEDED_ML = 1.0
"""A scan's value of a score is the one that this much of its brain exceeds: the size of a lesion,
and more than noise.
"""

LARGEST_Z, FEWEST_SCANS = 3.5, 10
"""Modified z above which a scan is named, and the number of scans below which none is."""


@dataclass(frozen=True)
class ScanScores:
    """The scores of one scan, and how they compare with those of the others.

    Attributes:
        name: of the file, or number in the archive.
        fingerprint: `heads.fingerprint` of a head in the archive; empty for files.
        values: score → the value that `EXCEEDED_ML` of the brain exceeds; empty where no brain is
            found.
        z: score → modified z among all scans.
        outlier: whether the scan is named.
        refused: why preparation refused it.
    """

    name: str
    fingerprint: str
    values: dict[str, float]
    z: dict[str, float] = field(default_factory=dict)
    outlier: bool = False
    refused: str = ""


Item = tuple[str, str, Modality, Volume | Path]


def read_archive(path: Path) -> Iterator[Item]:
    """Yield name, fingerprint, contrast and volume of every head of an archive."""
    affine = np.diag([heads.SPACING_MM] * 3 + [1.0])
    for n, images in enumerate(heads.read(path).images):
        yield (
            f"head {n}",
            heads.fingerprint(images),
            Modality.T1,
            Volume(images[0].astype(np.float32), affine),
        )


def list_folder(folder: Path, modality: Modality) -> Iterator[Item]:
    """Yield name, no fingerprint, contrast and path of every scan in a folder."""
    for path in heads.find_scans(folder):
        yield path.name, "", modality, path


def score_scan(item: Item, model: Model | None = None) -> ScanScores:
    """Score one scan by a network, the shipped one by default."""
    name, fingerprint, modality, what = item
    try:
        scan = read_scan(what, modality) if isinstance(what, Path) else Scan(what, modality, name)
        prepared = prepare_as_shipped(Study({modality: scan}))
    except BrainSSLAnomalyError as error:
        return ScanScores(name, fingerprint, {}, outlier=True, refused=str(error))
    latent = [score for score in SCORES if score in LATENT_SCORES]
    predicted = predict_study(prepared, model or shipped_model(), latent=latent)
    found = network_scores(predicted, {}, SCORES)
    scored = scored_voxels(prepared)
    rank = max(1, round(EXCEEDED_ML / prepared.reference.voxel_ml))
    return ScanScores(
        name, fingerprint, {s.value: float(np.sort(found[s][scored])[-rank:][0]) for s in SCORES}
    )


def modified_z(values: Sequence[float]) -> np.ndarray:
    """Return 0.6745 (x − median) / MAD.

    Where more than half of the values are equal, the mean absolute deviation takes the place of the
    MAD; where all are equal, z is 0.
    """
    away = np.asarray(values, float) - np.median(values)
    median, mean = float(np.median(np.abs(away))), float(np.mean(np.abs(away)))
    return away / max(median / 0.6745, 1e-12) if median > 0 else away / max(1.253314 * mean, 1e-12)


def find_outliers(scans: Sequence[ScanScores]) -> list[ScanScores]:
    """Return all scans with their z, the farthest first.

    With enough of them, outliers are named.
    """
    good = [s for s in scans if s.values]
    z = {
        name: modified_z([s.values[name] for s in good])
        for name in (good[0].values if good else ())
    }
    out = [s for s in scans if not s.values]
    for n, scan in enumerate(good):
        own = {name: round(float(values[n]), 2) for name, values in z.items()}
        far = len(good) >= FEWEST_SCANS and max(own.values()) > LARGEST_Z
        values = {k: round(v, 4) for k, v in scan.values.items()}
        out.append(ScanScores(scan.name, scan.fingerprint, values, own, far))
    return sorted(out, key=lambda s: -max(s.z.values(), default=np.inf))


def format_table(scans: Sequence[ScanScores]) -> str:
    """Format one line for every scan."""
    names = [s.value for s in SCORES]
    lines = [
        "| scan | " + " | ".join(f"{n} (z)" for n in names) + " | |",
        "| --- |" + " --- |" * (len(names) + 1),
    ]
    for s in scans:
        cells = [f"{s.values[n]:.2f} ({s.z[n]:+.1f})" if s.values else "–" for n in names]
        lines.append(
            f"| {s.name} | {' | '.join(cells)} | {s.refused or ('outlier' if s.outlier else '')} |"
        )
    return "\n".join(lines)


def main(
    archive: Annotated[
        Path, typer.Option(help="From python -m training.data.heads.")
    ] = heads.HEADS,
    folder: Annotated[
        Path | None, typer.Option(help="Score the scans in this folder instead.")
    ] = None,
    modality: Annotated[
        Modality, typer.Option(help="Contrast of the scans in the folder.")
    ] = Modality.T1,
    target: Annotated[Path, typer.Option(help="The file to write.")] = OUTLIERS,
    limit: Annotated[int | None, typer.Option(help="Score the first so many only.")] = None,
    workers: int = 2,
) -> None:
    """Score every training scan and name those that stand out."""
    items = islice(list_folder(folder, modality) if folder else read_archive(archive), limit)
    if workers > 1:
        with process_pool(workers) as pool:
            scans = find_outliers(list(pool.map(score_scan, items)))
    else:
        scans = find_outliers([score_scan(item) for item in items])
    if not scans:
        raise SystemExit(
            "No scan was found: "
            "give an archive of heads, or a folder with NIfTI, NRRD or MetaImage files."
        )
    content = {
        "rule": (
            f"modified z above {LARGEST_Z} (Iglewicz and Hoaglin 1993) in any score, "
            f"among {FEWEST_SCANS} scans or more; or refused"
        ),
        "exceeded_ml": EXCEEDED_ML,
        "scans": [asdict(s) for s in scans],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    typer.echo(format_table(scans))
    few = (
        ""
        if len(scans) >= FEWEST_SCANS
        else f"; too few to call any an outlier (fewer than {FEWEST_SCANS})"
    )
    typer.echo(f"{sum(s.outlier for s in scans)} of {len(scans)} scans stand out{few}. {target}")


if __name__ == "__main__":
    typer.run(main)
