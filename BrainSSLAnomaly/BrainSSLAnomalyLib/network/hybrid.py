"""The hybrid CNN–ViT.

Residual stages for detail, a transformer over their deepest grid for context, and a decoder with
skip connections. One code for slices (``spatial_dims`` 2) and volumes (3), from MONAI's blocks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .channels import CHANNELS


@dataclass(frozen=True)
class HybridSettings:
    """Choose the size of a `HybridNetwork`.

    Attributes:
        spatial_dims: 2 or 3.
        features: of each stage; each but the first halves the grid.
        layers: of the transformer, whose width is that of the last stage.
        heads: of the transformer.
        embedding: length of the embedding of a patch and of a scan, 128 to 1024.
    """

    spatial_dims: int = 2
    features: tuple[int, ...] = (16, 32, 64, 128, 192)
    layers: int = 3
    heads: int = 6
    embedding: int = 192

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a plain dictionary, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class NetworkOutput:
    """Hold the output for b scans and m modalities in the order of `CHANNELS`.

    Attributes:
        reconstruction: (b, m, ...) the healthy scan, also where a modality is missing.
        log_variance: (b, m, ...) logarithm of the expected variance of the reconstruction.
        anomaly: (b, 1, ...) logit of being anomalous.
        patches: (b, embedding, ...) unit-length embedding of every patch of 16 voxels a side.
        scan: (b, embedding) unit-length embedding of the scan.
        detail: (b, features[0], ...) last features of the decoder, from which all but the
            embeddings is computed.
    """

    reconstruction: Tensor
    log_variance: Tensor
    anomaly: Tensor
    patches: Tensor
    scan: Tensor
    detail: Tensor


class HybridNetwork(nn.Module):
    """Map scans of one patient, any subset of modalities, to a `NetworkOutput`.

    Args:
        settings: its size.
    """

    def __init__(self, settings: HybridSettings | None = None) -> None:
        from monai.networks.blocks import TransformerBlock, UnetResBlock

        super().__init__()
        self.settings = s = settings or HybridSettings()
        d, m, f = s.spatial_dims, len(CHANNELS), s.features

        def stage(taken: int, given: int, stride: int = 1) -> nn.Module:
            return UnetResBlock(
                d, taken, given, 3, stride, norm_name="batch", act_name=("relu", {"inplace": True})
            )

        convolution: type[nn.Module] = nn.Conv2d if d == 2 else nn.Conv3d
        self.encoder = nn.ModuleList(
            [stage(2 * m, f[0]), *(stage(a, b, 2) for a, b in pairwise(f))]
        )
        self.position = convolution(
            f[-1], f[-1], 3, padding=1, groups=f[-1]
        )  # convolutional position: works on any grid
        self.transformer = nn.ModuleList(
            [TransformerBlock(f[-1], 4 * f[-1], s.heads) for _ in range(s.layers)]
        )
        self.normalise = nn.LayerNorm(f[-1])
        self.context = nn.Identity()  # where explanations hook in after the transformer
        self.embed = nn.Linear(f[-1], s.embedding)
        self.decoder = nn.ModuleList(
            [stage(a + b, b) for a, b in zip(f[:0:-1], f[-2::-1], strict=True)]
        )
        self.out = convolution(f[0], 2 * m + 1, 1)

    @property
    def multiple(self) -> int:
        """Return the number of which the voxels along each axis must be a multiple."""
        return int(2 ** (len(self.settings.features) - 1))

    def forward(self, images: Tensor, present: Tensor) -> NetworkOutput:
        """Return the output for a batch.

        Args:
            images: (b, m, ...) normalised; the channel of a missing modality is not used.
            present: (b, m) 1 for the modalities that are there, else 0.
        """
        skips = self._detail(images, present)
        tokens, embedded = self._context(skips.pop())
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            tokens = block(
                torch.cat(
                    [functional.interpolate(tokens, scale_factor=2.0, mode="nearest"), skip], 1
                )
            )
        out, m = self.out(tokens), len(CHANNELS)
        patches = functional.normalize(embedded, dim=1)
        return NetworkOutput(
            out[:, :m],
            out[:, m : 2 * m].clamp(-8, 8),
            out[:, 2 * m :],
            patches,
            _of_scan(embedded),
            tokens,
        )

    def embedding(self, images: Tensor, present: Tensor) -> Tensor:
        """Return the embedding of each scan alone, (b, embedding), without the decoder."""
        return _of_scan(self._context(self._detail(images, present)[-1])[1])

    def _detail(self, images: Tensor, present: Tensor) -> list[Tensor]:
        """Return the features of every stage of the encoder."""
        there = (
            present.to(images.dtype)
            .reshape(*present.shape, *(1,) * (images.ndim - 2))
            .expand_as(images)
        )
        features = torch.cat([images * there, there], 1)
        stages = []
        for block in self.encoder:
            features = block(features)
            stages.append(features)
        return stages

    def _context(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return every patch after the transformer, (b, c, ...), and its embedding (b, e, ...)."""
        grid = features.shape[2:]
        tokens = (features + self.position(features)).flatten(2).transpose(1, 2)
        for block in self.transformer:
            tokens = block(tokens)
        tokens = self.normalise(tokens)
        tokens, embedded = (
            t.transpose(1, 2).reshape(t.shape[0], t.shape[2], *grid)
            for t in (tokens, self.embed(tokens))
        )
        return self.context(features + tokens), embedded


def _of_scan(embedded: Tensor) -> Tensor:
    return functional.normalize(embedded.flatten(2).mean(2), dim=1)
