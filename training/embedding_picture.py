"""``python -m training.embedding_picture``: what the network's embeddings of whole scans look like, healthy and not.

A PCA of healthy embeddings alone, so that anomalies lie where healthy variation puts them, and the AUROC of the Mahalanobis distance
from healthy embeddings (Ledoit and Wolf's shrunken covariance). Each scan is measured against healthy scans of other people, so that a
scan with lesions put in gains nothing from its own healthy original. Scans of patients are shown with ``--evaluation`` alone: the
measuring set is opened on purpose or not at all.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from BrainSSLAnomalyLib.hybrid import NetworkInput, network_input
from BrainSSLAnomalyLib.network.model import Model, load_model
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.settings import Device
from BrainSSLAnomalyLib.study import Modality, Scan, Study
from numpy.typing import NDArray
from torch.nn import functional

from .benchmark import cases
from .benchmark.summary import auroc
from .benchmark.synthetic import patient
from .build_model import HELD_OUT, MAPS
from .data import DATA, load
from .synthesis.implanted import implanted

PICTURE = Path("Documentation/embedding.png")
EVERY = 3
"""Of the slices across each axis, every so many is looked at."""

REAL, MADE, LESIONS, MADE_LESIONS = "healthy", "synthetic healthy", "lesions put into healthy scans", "synthetic with lesions"
HEALTHY, ANOMALOUS = (REAL, MADE), (LESIONS, MADE_LESIONS)
COLOURS = {REAL: "#1f5fa8", MADE: "#86b8e8", LESIONS: "#d1495b", MADE_LESIONS: "#edae49"}
OTHERS = ("#2a9d5c", "#7b4fa3", "#8c6d46", "#111111", "#e377c2")
MARKERS = {Modality.FLAIR: "^", Modality.T2: "s", Modality.T1: "o"}
FIRST_SEED = 9000
"""Beyond the seeds that the fusion is fitted on and healthy scans are measured with."""

Task = tuple[str, Any]


@dataclass(frozen=True)
class Point:
    """One scan as the network sees it.

    Attributes:
        group: what is known of it.
        modality: the one contrast that was shown.
        person: whose it is: scans of one person are never measured against each other.
        embedding: (e,) unit length.
    """

    group: str
    modality: Modality
    person: str
    embedding: NDArray[np.float32]


def tasks(real: int, made: int, lesions: int, evaluation: bool) -> Iterator[Task]:
    """Group, and what `points` needs to get its scans.

    Args:
        real: healthy T1 of the calibration set, besides one person's FLAIR and T2.
        made: synthetic patients, each in three contrasts, twice as many with lesions.
        lesions: healthy scans with lesions put in.
    """
    healthy = DATA / "healthy"
    yield from ((REAL, (Modality.T1, p)) for p in sorted((healthy / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))[:real])
    yield from ((REAL, (m, healthy / "singles" / f"a_{m.value}.nii.gz")) for m in (Modality.FLAIR, Modality.T2))
    for count, ill in ((made, False), (2 * made, True)):
        unseen = (s for s in range(FIRST_SEED, FIRST_SEED + 5000) if s % MAPS >= MAPS - HELD_OUT and (s % 3 > 0) == ill)
        yield from ((MADE_LESIONS if ill else MADE, seed) for seed in islice(unseen, count))
    yield from ((LESIONS, FIRST_SEED + n) for n in range(lesions))
    if evaluation:
        yield from ((case.group, case) for case in cases.patients())


def points(task: Task, model: Model | None = None) -> list[Point]:
    """The embeddings of one task's scans, each contrast alone; by the shipped network unless another is given."""
    group, what = task
    if group == REAL:
        study, person = Study({what[0]: Scan(load(what[1]), what[0], what[1].name)}), what[1].name.split("_")[0]
    elif group == LESIONS:
        study, _ = implanted(what)
        person = study.reference.source.split("_")[0]
    elif group in (MADE, MADE_LESIONS):
        study, person = patient(what)[0], f"map {what % MAPS}"
    else:
        study, person = what.study(), what.name
    prepared, network = prepare(study), (model or _model()).network
    return [Point(group, m, person, embedding(network_input(prepared, (m,)), network)) for m in study.modalities if m in MARKERS]


def embedding(given: NetworkInput, network: Any, every: int = EVERY) -> NDArray[np.float32]:
    """(e,) unit length: mean over the slices that hold brain, across every axis that is sharp enough."""
    found, there = [], torch.from_numpy(given.present)
    for axis in given.study.axes:
        inside = np.flatnonzero(given.study.brain.any(tuple(a for a in range(3) if a != axis)))[::every]
        slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(given.images, axis + 1, 0)[inside]))
        more = (0, -slices.shape[-1] % network.multiple, 0, -slices.shape[-2] % network.multiple)
        with torch.inference_mode():
            for some in functional.pad(slices, more).split(8):
                found.append(network.embedding(some, there.expand(len(some), -1)).float())
    return functional.normalize(torch.cat(found).mean(0), dim=0).numpy()


def distances(scans: Sequence[Point]) -> NDArray[np.float64]:
    """Mahalanobis distance of every scan from the healthy scans of other people, in standard deviations.

    Raises:
        SystemExit: there are too few healthy people.
    """
    from sklearn.covariance import LedoitWolf

    fitted: dict[str, Any] = {}
    out = []
    for scan in scans:
        if scan.person not in fitted:
            others = [p.embedding for p in scans if p.group in HEALTHY and p.person != scan.person]
            if len(others) < 3:
                raise SystemExit("Too few healthy people: show more.")
            fitted[scan.person] = LedoitWolf().fit(np.asarray(others, float))
        out.append(float(fitted[scan.person].mahalanobis(scan.embedding[None])[0]))
    return np.sqrt(np.array(out) / len(scans[0].embedding))


def picture(scans: Sequence[Point]) -> bytes:
    """A PNG: the first two principal components of healthy embeddings."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from sklearn.decomposition import PCA

    fitted = PCA(2, random_state=0).fit(np.stack([p.embedding for p in scans if p.group in HEALTHY]))
    places = fitted.transform(np.stack([p.embedding for p in scans]))
    groups = list(dict.fromkeys(p.group for p in scans))
    others = iter(OTHERS * len(groups))
    colours = {g: COLOURS.get(g) or next(others) for g in groups}
    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    ax: Any = figure.subplots()
    for scan, (x, y) in zip(scans, places, strict=True):
        ax.scatter(x, y, 34, colours[scan.group], marker=MARKERS[scan.modality], alpha=0.85, edgecolors="white", linewidths=0.4)
    first, second = fitted.explained_variance_ratio_
    ax.set_xlabel(f"principal component 1 of healthy scans ({first:.0%} of their variance)")
    ax.set_ylabel(f"principal component 2 of healthy scans ({second:.0%} of their variance)")
    counts = {g: sum(p.group == g for p in scans) for g in groups}
    keys = [Line2D([], [], marker="o", ls="", color=colours[g], label=f"{g} ({counts[g]})") for g in groups]
    shown = [m for m in MARKERS if any(p.modality is m for p in scans)]
    keys += [Line2D([], [], marker=MARKERS[m], ls="", color="#888888", label=m.value) for m in shown]
    ax.legend(handles=keys, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


@lru_cache(maxsize=1)
def _model() -> Model:
    return load_model(Device.CPU)


def _one_thread() -> None:
    torch.set_num_threads(1)


def main(
    target: Annotated[Path, typer.Option(help="The picture.")] = PICTURE,
    real: Annotated[int, typer.Option(help="Real healthy T1.")] = 12,
    made: Annotated[int, typer.Option(help="Synthetic healthy patients; twice as many with lesions.")] = 4,
    lesions: Annotated[int, typer.Option(help="Healthy scans with lesions put in.")] = 9,
    quick: Annotated[bool, typer.Option("--quick", help="Three of everything, to try it.")] = False,
    evaluation: Annotated[bool, typer.Option("--evaluation", help="Show patients too: an opening of the measuring set.")] = False,
    workers: int = 2,
) -> None:
    """Draw the picture and print the AUROC."""
    real, made, lesions = (3, 1, 3) if quick else (real, made, lesions)
    todo = list(tasks(real, made, lesions, evaluation))
    if workers > 1:
        with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
            scans = [p for found in pool.map(points, todo) for p in found]
    else:
        scans = [p for task in todo for p in points(task)]
    far = distances(scans)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{target.name}")
    partial.write_bytes(picture(scans))
    os.replace(partial, target)
    healthy = [d for p, d in zip(scans, far, strict=True) if p.group in HEALTHY]
    for name in dict.fromkeys(p.group for p in scans if p.group not in HEALTHY):
        ill = [d for p, d in zip(scans, far, strict=True) if p.group == name]
        typer.echo(f"{name}: AUROC {auroc(ill, healthy):.2f} of the Mahalanobis distance ({len(ill)} against {len(healthy)} healthy scans)")
    ill = [d for p, d in zip(scans, far, strict=True) if p.group in ANOMALOUS]
    typer.echo(f"synthetic anomalies: AUROC {auroc(ill, healthy):.2f} ({len(ill)} against {len(healthy)}). {target}")


if __name__ == "__main__":
    typer.run(main)
