"""Masked reconstruction: blocks of the scan are emptied and must be filled in.

After He et al., MAE, CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..synthesis.noise import chance, uniform


def mask_blocks(
    images: Tensor,
    generator: torch.Generator,
    *,
    share: float = 0.3,
    most: float = 0.4,
    block: int = 16,
) -> tuple[Tensor, Tensor]:
    """Empty blocks of some scans, in all modalities alike.

    Args:
        images: (b, m, ...) with two or three spatial axes; emptied voxels become 0, the mean of the
            parenchyma.
        generator: the only source of randomness.
        share: of the scans that lose blocks.
        most: up to this part of their blocks.
        block: edge in voxels.

    Returns:
        Images, and where they are emptied: (b, 1, ...) float, 0 or 1.
    """
    batch, dims = images.shape[0], images.ndim - 2
    grid = [max(1, n // block) for n in images.shape[2:]]
    amount = uniform((batch, *(1,) * (dims + 1)), 0.05, most, generator) * chance(
        (batch, *(1,) * (dims + 1)), share, generator
    )
    empty = (uniform((batch, 1, *grid), 0, 1, generator) < amount).float()
    empty = functional.interpolate(empty, size=images.shape[2:], mode="nearest")
    return images * (1 - empty), empty
