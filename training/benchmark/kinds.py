"""How well the shipped network marks each kind of synthetic anomaly, one contrast at a time.

Slices of held-out label maps are used. One kind was never trained on: the figures of that kind tell
a network that has learned what is healthy from one that has learned a list.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.network.channels import CHANNELS
from BrainSSLAnomalyLib.network.model import load_hybrid_network
from torch import Tensor

from ..data.label_archive import LabelArchive
from ..synthesis.anomalies import LARGE, SMALL
from ..tasks.slices import Batch, SliceSampler, SliceSettings
from .tables import format_markdown, format_number

KINDS = tuple(dict.fromkeys([*SMALL, *LARGE]))
MODALITIES = (Modality.FLAIR, Modality.T2, Modality.T1)
SEED = 17


def measure_kinds(
    archive: LabelArchive, batches: int = 8
) -> dict[str, dict[tuple[Modality, str], float]]:
    """Measure average precision over the voxels of all slices together.

    Args:
        archive: of label maps, whose last ones are held out of training.
        batches: for every kind, of two slabs.

    Returns:
        Kind → contrast and ``logit`` or ``error`` → average precision.
    """
    network = load_hybrid_network()
    found = {}
    for kind in KINDS:
        settings = SliceSettings(
            patients=2, at_random=0.0, without=tuple(k for k in KINDS if k != kind)
        )
        sampler, generator = (
            SliceSampler(archive, settings, held_out=True),
            torch.Generator().manual_seed(SEED),
        )
        parts: dict[tuple[Modality, str], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for _ in range(batches):
            batch = sampler(1, generator)
            for modality in MODALITIES:
                with torch.inference_mode():
                    for name, score, truth in _score_voxels(network, batch, modality):
                        parts[modality, name].append((score, truth))
        found[kind] = {key: _average_precision(pairs) for key, pairs in parts.items()}
    return found


def format_table(
    found: dict[str, dict[tuple[Modality, str], float]], never_trained: tuple[str, ...]
) -> str:
    """Format a line for every kind."""
    head = ["kind", *(f"{m.value}: logit / error" for m in MODALITIES)]
    lines = []
    for kind, figures in found.items():
        cells = (
            " / ".join(format_number(figures[m, name]) for name in ("logit", "error"))
            for m in MODALITIES
        )
        lines.append([f"**{kind}**, never trained on" if kind in never_trained else kind, *cells])
    return format_markdown(head, lines)


def _score_voxels(
    network: torch.nn.Module, batch: Batch, modality: Modality
) -> list[tuple[str, Tensor, Tensor]]:
    """Return both scores and the truth of the voxels in slices that have the contrast."""
    at = CHANNELS.index(modality)
    there = batch.healthy[:, at].abs().amax((1, 2)) > 0
    present = torch.zeros_like(batch.present[there])
    present[:, at] = 1
    changed, inside = batch.changed[there], batch.inside[there, 0] > 0
    out = network(changed, present)
    error = (out.reconstruction[:, at] - changed[:, at]).abs()
    truth = batch.anomalous[there, at][inside]
    return [("logit", out.anomaly[:, 0][inside], truth), ("error", error[inside], truth)]


def _average_precision(pairs: list[tuple[Tensor, Tensor]]) -> float:
    from sklearn.metrics import average_precision_score

    score, truth = (torch.cat(t).float().numpy() for t in zip(*pairs, strict=True))
    return float(average_precision_score(truth > 0, score)) if truth.any() else float("nan")
