"""Rotation prediction: by how many quarter turns was the scan turned? (Gidaris et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

TURNS = 4


def rotate(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn every scan in the plane of its last two axes, which must be equally long.

    Returns:
        images (b, m, ...), and how many quarter turns each was given: (b,) int64.
    """
    turns = torch.randint(TURNS, (images.shape[0],), generator=generator, device=images.device)
    return torch.stack(
        [image.rot90(int(n), (-2, -1)) for image, n in zip(images, turns, strict=True)]
    ), turns
