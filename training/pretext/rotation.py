"""Rotation prediction: by how many quarter turns a scan is turned (Gidaris et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

TURNS = 4


def rotate(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn every scan in the plane of its last two axes, which must be equally long.

    Returns:
        Images (b, m, ...), and by how many quarter turns each is turned: (b,) int64.
    """
    turns = torch.randint(TURNS, (images.shape[0],), generator=generator, device=images.device)
    return torch.stack(
        [image.rot90(int(n), (-2, -1)) for image, n in zip(images, turns, strict=True)]
    ), turns
