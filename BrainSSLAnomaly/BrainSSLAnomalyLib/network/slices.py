"""A 2-D network over a volume: slice by slice in each orientation that is sharp enough, and the mean of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .hybrid import HybridNetwork, NetworkOutput


@dataclass(frozen=True)
class Seen:
    """What a network saw in a volume; m modalities in the order of `CHANNELS`.

    Attributes:
        reconstruction: (m, k, j, i) float32.
        log_variance: (m, k, j, i) float32.
        anomaly: (k, j, i) float32, logit.
        spread: (k, j, i) float32, standard deviation of the logit over orientations and variants; 0 where there is one.
        embedding: (e,) float32 of the whole scan, unit length.
    """

    reconstruction: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    spread: NDArray[np.float32]
    embedding: NDArray[np.float32]


Variant = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""A change of slices (b, m, j, i) and its inverse."""

AS_IT_IS: Variant = (lambda x: x, lambda x: x)
MIRRORED: Variant = (lambda x: x.flip(-1), lambda x: x.flip(-1))


def look(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    axes: Sequence[int],
    *,
    variants: Sequence[Variant] = (AS_IT_IS,),
    batch: int = 8,
    progress: Callable[[float], None] = lambda _: None,
) -> Seen:
    """Look at every slice across each of some axes.

    Args:
        network: in evaluation mode, with two spatial dimensions.
        images: (m, k, j, i) normalised, upright, 0 outside the brain.
        present: (m,) 1 for the modalities that are there.
        axes: 0 for slices across k, 1 across j, 2 across i.
        variants: test-time changes, whose spread is the uncertainty.
        batch: slices at once.
        progress: told the fraction done; may raise to stop.
    """
    volume = torch.from_numpy(np.ascontiguousarray(images))
    there = torch.from_numpy(np.asarray(present, np.float32))
    shape = volume.shape[1:]
    total: dict[str, Tensor] = {}
    squares, scans, runs = torch.zeros(shape), [], len(axes) * len(variants)
    for run, (axis, (change, back)) in enumerate((a, v) for a in axes for v in variants):
        slices = volume.movedim(axis + 1, 0)  # (n, m, ., .)
        parts: dict[str, list[Tensor]] = {"reconstruction": [], "log_variance": [], "anomaly": []}
        for first in range(0, len(slices), batch):
            some = change(slices[first : first + batch])
            out = _padded(network, some, there.expand(len(some), -1))
            for name, values in parts.items():
                values.append(back(getattr(out, name)))
            scans.append(out.scan.mean(0))
            progress((run + min(1.0, (first + batch) / len(slices))) / runs)
        for name, values in parts.items():
            whole = torch.cat(values).movedim(0, axis + 1)
            total[name] = total.get(name, torch.zeros_like(whole)) + whole
            if name == "anomaly":
                squares += whole[0] ** 2
    mean = {name: values / runs for name, values in total.items()}
    spread = (squares / runs - mean["anomaly"][0] ** 2).clamp(min=0).sqrt()
    embedding = functional.normalize(torch.stack(scans).mean(0), dim=0)
    return Seen(mean["reconstruction"].numpy(), mean["log_variance"].numpy(), mean["anomaly"][0].numpy(), spread.numpy(), embedding.numpy())


def _padded(network: HybridNetwork, slices: Tensor, present: Tensor) -> NetworkOutput:
    """The output for slices of any size."""
    j, i = slices.shape[-2:]
    more = [-n % network.multiple for n in (i, j)]
    padded = functional.pad(slices, (0, more[0], 0, more[1])).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        out = network(padded, present)
    reconstruction, log_variance, anomaly = (t.float()[..., :j, :i] for t in (out.reconstruction, out.log_variance, out.anomaly))
    return NetworkOutput(reconstruction, log_variance, anomaly, out.patches, out.scan.float(), out.detail)
