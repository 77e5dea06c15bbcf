"""Predictions of a 2-D network for a volume: slices across each sharp axis, averaged.

MONAI's `SliceInferer` takes the slices; ours are test-time augmentation and the mean over axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..core.progress import FractionCallback, ignore_fraction
from .hybrid import HybridNetwork, NetworkOutput

PatchDistance = Callable[[Tensor], Tensor]
"""Maps embeddings of patches (b, e, h, w), unit length, to their distance from healthy ones
(b, 1, h, w)."""


@dataclass(frozen=True)
class Prediction:
    """Hold the prediction of a network for a volume.

    Its m modalities are those that are present, in the order of `CHANNELS`.

    Attributes:
        reconstruction: (m, k, j, i) float32.
        log_variance: (m, k, j, i) float32.
        anomaly: (k, j, i) float32, logit.
        spread: (k, j, i) float32, SD of the logit over axes and augmentations; 0 where there is
            one.
        distances: (k, j, i) float32 by name.
        embedding: (e,) float32 of the whole scan, unit length.
    """

    reconstruction: NDArray[np.float32]
    log_variance: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    spread: NDArray[np.float32]
    distances: Mapping[str, NDArray[np.float32]]
    embedding: NDArray[np.float32]


class Augmentation(NamedTuple):
    """Describe a test-time augmentation.

    Attributes:
        apply: changes slices (b, m, j, i).
        invert: undoes the change on a map (b, 1, j, i).
        axes: of the volume, for slices across which it makes sense.
    """

    apply: Callable[[Tensor], Tensor]
    invert: Callable[[Tensor], Tensor]
    axes: tuple[int, ...] = (0, 1, 2)


IDENTITY = Augmentation(lambda x: x, lambda x: x)
MIRROR = Augmentation(lambda x: x.flip(-1), lambda x: x.flip(-1), (0, 1))
"""Left and right exchanged: the last axis of slices across k and j."""
GAMMA = Augmentation(lambda x: 1.1 * x + 0.05 * (x != 0) * (x.square() - 1), lambda x: x)
"""A larger gamma."""

TEST_TIME = (IDENTITY, MIRROR, GAMMA)


def predict_volume(
    network: HybridNetwork,
    images: NDArray[np.float32],
    present: NDArray[np.float32],
    axes: Sequence[int],
    *,
    augmentations: Sequence[Augmentation] = (IDENTITY,),
    distances: Mapping[str, PatchDistance] | None = None,
    batch: int = 8,
    progress: FractionCallback = ignore_fraction,
) -> Prediction:
    """Predict every slice across each of some axes, and average.

    Args:
        network: in evaluation mode, with two spatial dimensions; it runs on its own device.
        images: (m, k, j, i) normalised, canonical axes, 0 outside the brain; all `CHANNELS`.
        present: (m,) 1 for the modalities that are there.
        axes: 0 for slices across k, 1 across j, 2 across i.
        augmentations: the first is the identity, from which the reconstruction comes.
        distances: by name, of the patches of the identity.
        batch: slices at once.
        progress: receives the fraction done; may raise to stop.
    """
    run = _SliceRun(network, present, distances or {})
    volume = torch.from_numpy(np.ascontiguousarray(images))
    total, squares = torch.zeros(volume.shape[1:]), torch.zeros(volume.shape[1:])
    sums: dict[str, Tensor] = {}
    plain_runs = 0
    runs = [(axis, a) for axis in axes for a in augmentations if axis in a.axes]
    for number, (axis, augmentation) in enumerate(runs):

        def report(fraction: float, number: int = number) -> None:
            progress((number + fraction) / len(runs))

        is_plain = augmentation is augmentations[0]
        maps = run.predict(volume, axis, augmentation, is_plain, batch, report)
        logit = maps.pop("anomaly")[0]
        total += logit
        squares += logit.square()
        plain_runs += is_plain
        for name, values in maps.items():
            sums[name] = sums[name] + values if name in sums else values
    mean = total / len(runs)
    spread = (squares / len(runs) - mean.square()).clamp(min=0).sqrt()
    averaged = {name: values / plain_runs for name, values in sums.items()}
    embedding = functional.normalize(torch.cat(run.embeddings).mean(0), dim=0)
    return Prediction(
        reconstruction=averaged["reconstruction"].numpy(),
        log_variance=averaged["log_variance"].numpy(),
        anomaly=mean.numpy(),
        spread=spread.numpy(),
        distances={name: averaged[name][0].numpy() for name in distances or {}},
        embedding=embedding.cpu().numpy(),
    )


class _SliceRun:
    """Predict slices; collects the embeddings of the scans, which are no maps."""

    def __init__(
        self,
        network: HybridNetwork,
        present: NDArray[np.float32],
        distances: Mapping[str, PatchDistance],
    ) -> None:
        self._network, self._distances = network, distances
        self._device = next(network.parameters()).device
        self._present = torch.from_numpy(np.asarray(present, np.float32)).to(self._device)
        self._channels = np.flatnonzero(present).tolist()
        self.embeddings: list[Tensor] = []

    def predict(
        self,
        volume: Tensor,
        axis: int,
        augmentation: Augmentation,
        is_plain: bool,
        batch: int,
        progress: FractionCallback,
    ) -> dict[str, Tensor]:
        """Return maps (c, k, j, i) by name, for slices across one axis."""
        from monai.inferers import SliceInferer

        size = [n for a, n in enumerate(volume.shape[1:]) if a != axis]
        count, done = volume.shape[axis + 1], 0

        def predict_slices(slices: Tensor) -> dict[str, Tensor]:
            nonlocal done
            found = self._predict_slices(slices, augmentation, is_plain)
            done += len(slices)
            progress(done / count)
            return found

        inferer = SliceInferer(
            spatial_dim=axis,
            roi_size=size,
            sw_batch_size=batch,
            sw_device=self._device,
            device=torch.device("cpu"),
        )
        with torch.inference_mode():
            maps = inferer(volume[None], predict_slices)
        assert isinstance(maps, dict)
        return {str(name): values[0] for name, values in maps.items()}

    def _predict_slices(
        self, slices: Tensor, augmentation: Augmentation, is_plain: bool
    ) -> dict[str, Tensor]:
        present = self._present.expand(len(slices), -1)
        out = predict_padded(self._network, augmentation.apply(slices), present)
        found = {"anomaly": augmentation.invert(out.anomaly)}
        if is_plain:
            found["reconstruction"] = out.reconstruction[:, self._channels]
            found["log_variance"] = out.log_variance[:, self._channels]
            for name, distance in self._distances.items():
                patches = distance(out.patches.float())
                found[name] = _to_pixels(patches, slices.shape[-2:], self._network.multiple)
            self.embeddings.append(out.scan)
        return found


def predict_padded(network: HybridNetwork, slices: Tensor, present: Tensor) -> NetworkOutput:
    """Predict slices of any size (b, m, j, i), padded to what the network needs and cropped."""
    j, i = slices.shape[-2:]
    missing_i, missing_j = (-n % network.multiple for n in (i, j))
    padded = functional.pad(slices, (0, missing_i, 0, missing_j))
    with torch.inference_mode():
        out = network(padded.contiguous(memory_format=torch.channels_last), present)
    reconstruction, log_variance, anomaly = (
        t.float()[..., :j, :i] for t in (out.reconstruction, out.log_variance, out.anomaly)
    )
    scan = out.scan.float()
    return NetworkOutput(reconstruction, log_variance, anomaly, out.patches, scan, out.detail)


def _to_pixels(patches: Tensor, size: Sequence[int], patch: int) -> Tensor:
    """Interpolate a map of patches (b, 1, h, w) to one of pixels (b, 1, j, i)."""
    fine = functional.interpolate(
        patches, scale_factor=float(patch), mode="bilinear", align_corners=False
    )
    return fine[..., : size[0], : size[1]]
