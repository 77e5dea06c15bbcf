"""Embeddings of whole scans, healthy and not, and how far from healthy they are.

The contrast is most of what separates scans, so distances are around the healthy mean of each
contrast, with the shrunken covariance of Ledoit and Wolf. A scan is measured against healthy scans
of other people, so that one with implanted lesions gains nothing from its own healthy original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from BrainSSLAnomalyLib.core.results import NetworkInput
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study
from BrainSSLAnomalyLib.network.channels import stack_channels
from BrainSSLAnomalyLib.network.engine import SliceEngine
from BrainSSLAnomalyLib.network.inference import BATCH, brain_window, pad_slices
from BrainSSLAnomalyLib.network.model import Model
from BrainSSLAnomalyLib.preparation.network_grid import network_input
from numpy.typing import NDArray

from ..benchmark import cases
from ..engine.processes import prepare_as_shipped, shipped_model
from ..synthesis.implanted import draw_implanted_patient
from ..synthesis.patients import MAPS, draw_patient, held_out_seeds
from .files import DATA, load

MODALITIES = (Modality.FLAIR, Modality.T2, Modality.T1)
FEWEST_SCANS = 3
"""Healthy scans of other people that a scan is measured against, at least."""

EVERY = 3
"""One of so many slices across each axis is embedded."""

REAL, SYNTHETIC, IMPLANTED, SYNTHETIC_LESIONS = (
    "healthy",
    "synthetic healthy",
    "implanted lesions",
    "synthetic with lesions",
)
HEALTHY, ANOMALOUS = (REAL, SYNTHETIC), (IMPLANTED, SYNTHETIC_LESIONS)
FIRST_SEED = 9000
"""Beyond the seeds that the fusion is fitted on and healthy scans are measured with."""

ScanSource = tuple[str, Any]


@dataclass(frozen=True)
class ScanEmbedding:
    """The embedding of one scan.

    Attributes:
        group: what is known of the scan.
        modality: the one contrast that the network is given.
        person: whose it is: scans of one person are never measured against each other.
        embedding: (e,) unit length.
    """

    group: str
    modality: Modality
    person: str
    embedding: NDArray[np.float32]


def list_scans(real: int, synthetic: int, lesions: int, evaluation: bool) -> Iterator[ScanSource]:
    """Yield the group of scans, and what `embed_scans` needs to get them.

    Args:
        real: healthy T1 of the calibration set, besides one person's FLAIR and T2.
        synthetic: synthetic patients, each in three contrasts, twice as many with lesions.
        lesions: healthy scans with implanted lesions.
        evaluation: whether to add the patients of the test set.
    """
    healthy = DATA / "healthy"
    yield from (
        (REAL, (Modality.T1, p))
        for p in sorted((healthy / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))[:real]
    )
    yield from (
        (REAL, (m, healthy / "singles" / f"a_{m.value}.nii.gz"))
        for m in (Modality.FLAIR, Modality.T2)
    )
    for count, ill in ((synthetic, False), (2 * synthetic, True)):
        seeds = (s for s in held_out_seeds(FIRST_SEED) if (s % 3 > 0) == ill)
        yield from (
            (SYNTHETIC_LESIONS if ill else SYNTHETIC, seed) for seed in islice(seeds, count)
        )
    yield from ((IMPLANTED, FIRST_SEED + n) for n in range(lesions))
    if evaluation:
        yield from ((case.group, case) for case in cases.patients())


def embed_scans(task: ScanSource, model: Model | None = None) -> list[ScanEmbedding]:
    """Embed the scans of one source, each contrast alone, by the shipped network or another one."""
    group, what = task
    if group == REAL:
        study, person = (
            Study({what[0]: Scan(load(what[1]), what[0], what[1].name)}),
            what[1].name.split("_")[0],
        )
    elif group == IMPLANTED:
        study, _ = draw_implanted_patient(what)
        person = study.reference.source.split("_")[0]
    elif group in (SYNTHETIC, SYNTHETIC_LESIONS):
        study, person = draw_patient(what)[0], f"map {what % MAPS}"
    else:
        study, person = what.study(), what.name
    prepared, engine = prepare_as_shipped(study), (model or shipped_model()).engine
    return [
        ScanEmbedding(group, m, person, embed(network_input(prepared, (m,)), engine))
        for m in study.modalities
        if m in MODALITIES
    ]


def embed(given: NetworkInput, engine: SliceEngine, every: int = EVERY) -> NDArray[np.float32]:
    """Embed a scan: the mean over the slices that hold brain, across every sharp enough axis.

    Returns:
        (e,) unit length.
    """
    images, present = stack_channels(given)
    brain = np.asarray(images.any(axis=0))
    found = []
    for axis in given.axes:
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(brain.any(others))[::every]
        chosen = np.moveaxis(images, axis + 1, 0)[inside]
        for first in range(0, len(chosen), BATCH):
            some = chosen[first : first + BATCH]
            rows, columns = brain_window(some, engine.multiple)
            slices = pad_slices(some[:, :, rows, columns], engine.multiple)
            found.append(engine.predict(slices, present).scan)
    mean = np.concatenate(found).mean(0)
    embedding: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return embedding


def healthy_means(healthy: Sequence[ScanEmbedding]) -> dict[Modality, NDArray[np.float32]]:
    """Return the mean embedding of the healthy scans of each contrast."""
    return {
        m: np.mean([p.embedding for p in healthy if p.modality is m], axis=0)
        for m in {p.modality for p in healthy}
    }


def mahalanobis_distances(scans: Sequence[ScanEmbedding]) -> NDArray[np.float64]:
    """Measure how far every scan is from the healthy scans of its contrast and of other people.

    The covariance is that of all contrasts around their own means.

    Returns:
        (n,) Mahalanobis distances, in standard deviations.

    Raises:
        SystemExit: there are too few healthy people.
    """
    from sklearn.covariance import LedoitWolf

    fitted: dict[str, tuple[dict[Modality, NDArray[np.float32]], Any]] = {}
    out = []
    for scan in scans:
        if scan.person not in fitted:
            others = [p for p in scans if p.group in HEALTHY and p.person != scan.person]
            means = healthy_means(others)
            if len(others) < FEWEST_SCANS:
                raise SystemExit("Too few healthy people: show more.")
            away = [p.embedding - means[p.modality] for p in others]
            fitted[scan.person] = (
                means,
                LedoitWolf(assume_centered=True).fit(np.asarray(away, float)),
            )
        means, gaussian = fitted[scan.person]
        if scan.modality not in means:
            raise SystemExit(f"Too few healthy people with a {scan.modality.value}: show more.")
        out.append(float(gaussian.mahalanobis((scan.embedding - means[scan.modality])[None])[0]))
    return np.sqrt(np.array(out) / len(scans[0].embedding))
