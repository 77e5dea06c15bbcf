"""Smooth random fields, and the random draws that every step of the synthesis shares.

Everything is drawn on the device of the generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw uniform numbers between ``low`` and ``high``."""
    return (
        torch.rand(tuple(shape), generator=generator, device=generator.device) * (high - low) + low
    )


def normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device)


def chance(shape: Sequence[int], probability: float, generator: torch.Generator) -> Tensor:
    """Draw booleans, true with the given probability."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device) < probability


def smooth_field(
    batch: int, channels: int, shape: Sequence[int], scale: float, generator: torch.Generator
) -> Tensor:
    """Draw smooth Gaussian noise of unit variance.

    Args:
        batch: first axis.
        channels: second axis.
        shape: (k, j, i).
        scale: size of its features in voxels, about.
        generator: the only source of randomness.

    Returns:
        (batch, channels, k, j, i).
    """
    small = [max(2, round(n / scale) + 1) for n in shape]
    coarse = normal((batch, channels, *small), generator)
    if small == list(shape):
        return coarse
    fine = functional.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)
    return fine * 1.6  # what linear interpolation takes from the variance, about (3/2)^(3/2) / 1.15


def spread(mask: Tensor, radius: float) -> Tensor:
    """Smear a mask out: 1 inside, falling to 0 at about a distance.

    Args:
        mask: (b, 1, k, j, i) float, 0 or 1.
        radius: the distance, in voxels.
    """
    step = max(
        1, min(round(radius / 2), min(mask.shape[2:]) // 3)
    )  # thin slabs have no room for more
    pooled = functional.max_pool3d(mask, step, ceil_mode=True) if step > 1 else mask
    blurred = functional.avg_pool3d(functional.max_pool3d(pooled, 3, 1, 1), 3, 1, 1)
    size = tuple(n * step for n in pooled.shape[2:])
    grown = (
        functional.interpolate(blurred, size=size, mode="trilinear", align_corners=False)
        if step > 1
        else blurred
    )
    k, j, i = mask.shape[2:]
    return grown[:, :, :k, :j, :i]


def expand_axes(values: Tensor) -> Tensor:
    """Append axes of length 1 to (b,) or (b, c), up to five, to go with volumes."""
    return values.reshape(*values.shape, *(1,) * (5 - values.ndim))
