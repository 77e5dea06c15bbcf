"""Wide ventricles and sulci.

Most label maps and healthy scans are of the young, most patients are not.
"""

from __future__ import annotations

import math

import torch
from BrainSSLAnomalyLib.core.anatomy import Tissue
from torch import Tensor
from torch.nn import functional

from .noise import uniform

WIDEST_MM = {Tissue.VENTRICLE: 12.0, Tissue.CSF: 2.5}
"""How far the edge of a fluid is pushed at most; it gives way by less where the space is narrow."""

REACH_MM = {Tissue.VENTRICLE: 8.0, Tissue.CSF: 3.0}
"""How far from a fluid its surroundings give way."""

STEPS = 6
"""In which the edge is moved, so that it stops at the middle of a narrow space instead of crossing
it.
"""


def widen_fluid_spaces(
    place: Tensor, tissues: Tensor, generator: torch.Generator, *, spacing: float
) -> Tensor:
    """Move the places of a sample so that ventricles and sulci widen at the cost of the brain.

    Args:
        place: (3, k, j, i) in mm, where each voxel lies in a head.
        tissues: (k, j, i) int64, `Tissue` + 1, at these places.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.

    Returns:
        (3, k, j, i) in mm, where each voxel lies in that head after a random amount of atrophy.
    """
    at = torch.stack(
        torch.meshgrid(
            *(torch.arange(n, device=place.device).float() for n in tissues.shape), indexing="ij"
        )
    )
    moved = at
    for tissue, most in WIDEST_MM.items():
        amount = most * float(uniform((1,), 0, 1, generator))
        towards = _direction_to_fluid((tissues == tissue + 1).float(), REACH_MM[tissue], spacing)
        for _ in range(STEPS):
            moved = moved + amount / spacing / STEPS * _sample(*towards, moved)
    return _sample(place, 1, moved)


def _direction_to_fluid(fluid: Tensor, reach_mm: float, spacing: float) -> tuple[Tensor, int]:
    """Return the direction to a fluid, of length 1 at its edge and 0 far away.

    Returns:
        (3, k, j, i) on a coarser grid, and by which factor it is coarser.
    """
    factor = max(1, min(round(reach_mm / spacing / 1.2), min(fluid.shape) // 3))
    soft = functional.avg_pool3d(fluid[None, None], factor, ceil_mode=True, count_include_pad=False)
    for _ in range(2):  # with the pooling, much like a Gaussian of `reach_mm`
        soft = functional.avg_pool3d(soft, 3, 1, 1, count_include_pad=False)
    slope = torch.stack(torch.gradient(soft[0, 0], spacing=factor * spacing))
    steepest = 1 / (reach_mm * math.sqrt(2 * math.pi))
    return slope / (slope.norm(dim=0, keepdim=True) + steepest / 4), factor


def _sample(field: Tensor, factor: int, at: Tensor) -> Tensor:
    """Sample a field linearly, its outermost voxels going on beyond the edge.

    Args:
        field: (c, k, j, i).
        factor: width of its voxels.
        at: (3, k, j, i) in voxels of width 1.
    """
    size = torch.tensor(field.shape[1:], device=field.device).reshape(3, 1, 1, 1) * factor
    grid = ((2 * at + 1) / size - 1).flip(0).movedim(0, -1)[None]
    return functional.grid_sample(field[None], grid, padding_mode="border", align_corners=False)[0]
