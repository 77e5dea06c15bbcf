"""A 2-D network over a volume: slice by slice in each orientation that is sharp enough, and the mean of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .hybrid import HybridNetwork, NetworkOutput

Distance = Callable[[Tensor], Tensor]
"""Embeddings of patches (b, e, h, w), unit length → (b, 1, h, w): how far from healthy."""


@dataclass(frozen=True)
class Seen:
    """What a network saw in a volume; m modalities, those that are present, in the order of `CHANNELS`.

    Attributes:
        reconstruction: (m, k, j, i) float32.
        log_variance: (m, k, j, i) float32.
        anomaly: (k, j, i) float32, logit.
        spread: (k, j, i) float32, standard deviation of the logit over orientations and variants; 0 where there is one.
        distances: (k, j, i) float32 by name.
        embedding: (e,) float32 of the whole scan, unit length.
    """

    reconstruction: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    spread: NDArray[np.float32]
    distances: Mapping[str, NDArray[np.float32]]
    embedding: NDArray[np.float32]


class Variant(NamedTuple):
    """A test-time change of slices (b, m, j, i), and what undoes it on a map (b, 1, j, i).

    Attributes:
        axes: of the volume, for slices across which it makes sense.
    """

    change: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    axes: tuple[int, ...] = (0, 1, 2)


AS_IT_IS = Variant(lambda x: x, lambda x: x)
MIRRORED = Variant(lambda x: x.flip(-1), lambda x: x.flip(-1), (0, 1))
"""Left and right exchanged: the last axis of slices across k and j."""
STEEPER = Variant(lambda x: 1.1 * x + 0.05 * (x != 0) * (x.square() - 1), lambda x: x)
"""A larger gamma."""

TEST_TIME = (AS_IT_IS, MIRRORED, STEEPER)


def look(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    axes: Sequence[int],
    *,
    variants: Sequence[Variant] = (AS_IT_IS,),
    distances: Mapping[str, Distance] | None = None,
    batch: int = 8,
    progress: Callable[[float], None] = lambda _: None,
) -> Seen:
    """Look at every slice across each of some axes.

    Args:
        network: in evaluation mode, with two spatial dimensions; it works on its own device.
        images: (m, k, j, i) normalised, upright, 0 outside the brain; all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        axes: 0 for slices across k, 1 across j, 2 across i.
        variants: test-time changes, the first of which leaves slices as they are: it alone reconstructs.
        distances: by name, measured on patches of the first variant.
        batch: slices at once.
        progress: told the fraction done; may raise to stop.
    """
    device = next(network.parameters()).device
    volume = torch.from_numpy(np.ascontiguousarray(images))
    there = torch.from_numpy(np.asarray(present, np.float32)).to(device)
    channels = np.flatnonzero(present).tolist()
    shape, total = volume.shape[1:], _Total()
    logit, squares, scans = torch.zeros(shape), torch.zeros(shape), []
    runs = [(a, v) for a in axes for v in variants if a in v.axes]
    for run, (axis, variant) in enumerate(runs):
        slices = volume.movedim(axis + 1, 0)  # (n, m, ., .)
        parts: dict[str, list[Tensor]] = {}
        for first in range(0, len(slices), batch):
            some = slices[first : first + batch].to(device)
            out = _padded(network, variant.change(some), there.expand(len(some), -1))
            found = {"anomaly": variant.back(out.anomaly)}
            if variant is variants[0]:
                found |= {
                    "reconstruction": out.reconstruction[:, channels],
                    "log_variance": out.log_variance[:, channels],
                }
                found |= {
                    name: _grown(measure(out.patches.float()), some.shape[-2:], network.multiple)
                    for name, measure in (distances or {}).items()
                }
                scans.append(out.scan)
            for name, values in found.items():
                parts.setdefault(name, []).append(values.cpu())
            progress((run + min(1.0, (first + batch) / len(slices))) / len(runs))
        whole = {name: torch.cat(values).movedim(0, axis + 1) for name, values in parts.items()}
        marked = whole.pop("anomaly")[0]
        logit += marked
        squares += marked.square()
        total.add(whole)
    mean = logit / len(runs)
    spread = (squares / len(runs) - mean.square()).clamp(min=0).sqrt()
    maps = total.mean()
    embedding = functional.normalize(torch.cat(scans).mean(0), dim=0)
    far = {name: maps[name][0].numpy() for name in distances or {}}
    return Seen(
        maps["reconstruction"].numpy(),
        maps["log_variance"].numpy(),
        mean.numpy(),
        spread.numpy(),
        far,
        embedding.cpu().numpy(),
    )


class _Total:
    """Mean of maps by name."""

    def __init__(self) -> None:
        self._sum: dict[str, Tensor] = {}
        self._count = 0

    def add(self, maps: Mapping[str, Tensor]) -> None:
        if maps:
            self._count += 1
            self._sum = {
                name: self._sum[name] + values if name in self._sum else values
                for name, values in maps.items()
            }

    def mean(self) -> dict[str, Tensor]:
        return {name: values / self._count for name, values in self._sum.items()}


def _grown(patches: Tensor, size: Sequence[int], patch: int) -> Tensor:
    """A map of patches (b, 1, h, w) as one of pixels (b, 1, j, i), interpolated."""
    fine = functional.interpolate(
        patches, scale_factor=float(patch), mode="bilinear", align_corners=False
    )
    return fine[..., : size[0], : size[1]]


def _padded(network: HybridNetwork, slices: Tensor, present: Tensor) -> NetworkOutput:
    """The output for slices of any size."""
    j, i = slices.shape[-2:]
    more = [-n % network.multiple for n in (i, j)]
    padded = functional.pad(slices, (0, more[0], 0, more[1])).contiguous(
        memory_format=torch.channels_last
    )
    with torch.inference_mode():
        out = network(padded, present)
    reconstruction, log_variance, anomaly = (
        t.float()[..., :j, :i] for t in (out.reconstruction, out.log_variance, out.anomaly)
    )
    return NetworkOutput(
        reconstruction, log_variance, anomaly, out.patches, out.scan.float(), out.detail
    )
