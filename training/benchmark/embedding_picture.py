"""A picture of the embeddings of whole scans: ``python -m training.benchmark.embedding_picture``.

A PCA of healthy embeddings alone shows anomalies where healthy variation puts them: on the left as
they are, on the right around the healthy mean of each contrast. The AUROC of their Mahalanobis
distance is printed (`data.embeddings`). Patients are added with ``--evaluation`` alone, since that
evaluates the test set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from BrainSSLAnomalyLib.core.files import write_bytes
from BrainSSLAnomalyLib.core.study import Modality
from numpy.typing import NDArray

from ..data.embeddings import (
    ANOMALOUS,
    HEALTHY,
    IMPLANTED,
    REAL,
    SYNTHETIC,
    SYNTHETIC_LESIONS,
    ScanEmbedding,
    embed_scans,
    healthy_means,
    list_scans,
    mahalanobis_distances,
)
from ..engine.processes import process_pool
from .summary import auroc

PICTURE = Path("docs/images/embedding.png")
COLOURS = {
    REAL: "#1f5fa8",
    SYNTHETIC: "#86b8e8",
    IMPLANTED: "#d1495b",
    SYNTHETIC_LESIONS: "#edae49",
}
OTHERS = ("#2a9d5c", "#7b4fa3", "#8c6d46", "#111111", "#e377c2")
MARKERS = {Modality.FLAIR: "^", Modality.T2: "s", Modality.T1: "o"}


def draw_picture(scans: Sequence[ScanEmbedding]) -> bytes:
    """Draw the first two principal components of healthy embeddings, as a PNG.

    They are drawn as they are, and around the healthy mean of each contrast.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    groups = list(dict.fromkeys(p.group for p in scans))
    others = iter(OTHERS * len(groups))
    colours = {g: COLOURS.get(g) or next(others) for g in groups}
    means = healthy_means([p for p in scans if p.group in HEALTHY])
    figure = Figure(figsize=(10, 5.4), dpi=100)
    axes: Any = figure.subplots(1, 2)
    whole = np.stack([p.embedding for p in scans])
    around = whole - np.stack([means[p.modality] for p in scans])
    titles = ("whole scans", "the same, each contrast around its healthy mean")
    for ax, title, embeddings in zip(axes, titles, (whole, around), strict=True):
        places, (first, second) = _project(embeddings, [p.group in HEALTHY for p in scans])
        for scan, (x, y) in zip(scans, places, strict=True):
            ax.scatter(
                x,
                y,
                34,
                colours[scan.group],
                marker=MARKERS[scan.modality],
                alpha=0.85,
                edgecolors="white",
                linewidths=0.4,
            )
        ax.set_title(title, fontsize=10)
        ax.set_xlabel(f"component 1 ({first:.0%} of the variance of healthy scans)")
        ax.set_ylabel(f"component 2 ({second:.0%} of the variance of healthy scans)")
        ax.tick_params(labelsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    counts = {g: sum(p.group == g for p in scans) for g in groups}
    keys = [
        Line2D([], [], marker="o", ls="", color=colours[g], label=f"{g} ({counts[g]})")
        for g in groups
    ]
    shown = [m for m in MARKERS if any(p.modality is m for p in scans)]
    keys += [
        Line2D([], [], marker=MARKERS[m], ls="", color="#888888", label=m.value) for m in shown
    ]
    figure.legend(handles=keys, fontsize=8, frameon=False, loc="lower center", ncols=4)
    figure.tight_layout(rect=(0, 0.06 + 0.035 * (len(keys) // 4), 1, 1))
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _project(
    embeddings: NDArray[np.float32], healthy: Sequence[bool]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Project embeddings on the first two principal components of the healthy ones.

    Returns:
        (n, 2) places, and the share of the healthy variance that each component explains.
    """
    from sklearn.decomposition import PCA

    fitted = PCA(2, random_state=0).fit(embeddings[np.asarray(healthy)])
    return fitted.transform(embeddings), fitted.explained_variance_ratio_


def main(
    target: Annotated[Path, typer.Option(help="The picture.")] = PICTURE,
    real: Annotated[int, typer.Option(help="Real healthy T1.")] = 10,
    synthetic: Annotated[
        int, typer.Option(help="Synthetic healthy patients; twice as many with lesions.")
    ] = 3,
    lesions: Annotated[int, typer.Option(help="Healthy scans with implanted lesions.")] = 9,
    quick: Annotated[
        bool, typer.Option("--quick", help="One or two of everything, to try it.")
    ] = False,
    evaluation: Annotated[
        bool,
        typer.Option("--evaluation", help="Show patients too: an evaluation of the test set."),
    ] = False,
    workers: int = 2,
) -> None:
    """Draw the picture and print the AUROC."""
    real, synthetic, lesions = (2, 1, 1) if quick else (real, synthetic, lesions)
    todo = list(list_scans(real, synthetic, lesions, evaluation))
    if workers > 1:
        with process_pool(workers) as pool:
            scans = [p for found in pool.map(embed_scans, todo) for p in found]
    else:
        scans = [p for task in todo for p in embed_scans(task)]
    far = mahalanobis_distances(scans)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, draw_picture(scans))
    patients = dict.fromkeys(p.group for p in scans if p.group not in (*HEALTHY, *ANOMALOUS))
    typer.echo("AUROC of the Mahalanobis distance:")
    for ill, healthy in (
        ((IMPLANTED,), (REAL,)),
        ((SYNTHETIC_LESIONS,), (SYNTHETIC,)),
        (ANOMALOUS, HEALTHY),
        *(((g,), HEALTHY) for g in patients),
    ):
        first, second = (
            [d for p, d in zip(scans, far, strict=True) if p.group in groups]
            for groups in (ill, healthy)
        )
        if first and second:
            names = f"{' and '.join(ill)} ({len(first)})"
            others = f"{' and '.join(healthy)} ({len(second)})"
            typer.echo(f"{auroc(first, second):.2f} {names} against {others}")
    typer.echo(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    typer.run(main)
