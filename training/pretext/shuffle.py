"""Patch shuffling: in which order the four quarters of a scan are exchanged.

After Noroozi and Favaro, ECCV 2016.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

ORDERS = tuple(permutations(range(4)))


def shuffle_quarters(images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Exchange the quarters of every scan in the plane of its last two axes.

    Their lengths must be even.

    Returns:
        Images (b, m, ...), and the place of their order in `ORDERS`: (b,) int64.
    """
    j, i = (n // 2 for n in images.shape[-2:])
    chosen = torch.randint(
        len(ORDERS), (images.shape[0],), generator=generator, device=images.device
    )
    out = []
    for image, number in zip(images, chosen.tolist(), strict=True):
        quarters = [image[..., a : a + j, b : b + i] for a in (0, j) for b in (0, i)]
        first, second, third, fourth = (quarters[n] for n in ORDERS[number])
        out.append(torch.cat([torch.cat([first, second], -1), torch.cat([third, fourth], -1)], -2))
    return torch.stack(out), chosen
