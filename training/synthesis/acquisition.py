"""The effects of a scanner: bias field, thick slices, ghosts, motion, noise and field of view.

Images are (b, m, k, j, i) float32; each scan of each patient is changed independently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .noise import chance, expand_axes, normal, smooth_field, uniform


def add_bias_field(image: Tensor, generator: torch.Generator, *, spacing: float) -> Tensor:
    """Multiply by a bias field, smooth over some 80 mm, of up to about 40 %."""
    batch, count, *shape = image.shape
    strength = uniform((batch, count, 1, 1, 1), 0.0, 0.2, generator)
    return image * torch.exp(strength * smooth_field(batch, count, shape, 80 / spacing, generator))


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur each scan by a Gaussian of its own width.

    Args:
        image: (b, m, k, j, i).
        sigma: (b, m) in voxels, up to about 1.
    """
    offsets = torch.arange(-2, 3, device=image.device, dtype=image.dtype)
    kernels = torch.exp(-0.5 * (offsets / sigma.clamp(min=0.05)[..., None]) ** 2)
    kernels = (kernels / kernels.sum(-1, keepdim=True)).reshape(-1, 1, 5)
    out = image.reshape(1, -1, *image.shape[2:])
    for axis in range(3):
        view = [5 if a == axis else 1 for a in range(3)]
        padding = [2 if a == axis else 0 for a in range(3)]
        out = functional.conv3d(
            out, kernels.reshape(-1, 1, *view), padding=padding, groups=out.shape[1]
        )
    return out.reshape(image.shape)


class Slicing(NamedTuple):
    """How a scan is cut into slices.

    Attributes:
        axis: across the slices; 0, 1 or 2 for k, j, i.
        slices: how many.
    """

    axis: int
    slices: int


def draw_slicings(
    batch: int,
    scans: int,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    spacing: float,
    thickest_mm: float = 8.0,
    share: float = 0.6,
) -> list[list[Slicing | None]]:
    """Draw how every scan of every patient is cut into slices.

    Args:
        batch: number of patients.
        scans: number of scans of each.
        shape: (k, j, i) voxels.
        generator: the only source of randomness.
        spacing: of the voxels, in mm.
        thickest_mm: largest thickness.
        share: of the scans that are cut.

    Returns:
        For each patient a list with one entry a scan, None where it is not cut.
    """

    def draw_one() -> Slicing | None:
        chosen, millimetres = uniform((2,), 0, 1, generator).tolist()
        axis = int(torch.randint(3, (1,), generator=generator, device=generator.device))
        thick = spacing + millimetres * (thickest_mm - spacing)
        slices = max(4, round(shape[axis] * spacing / thick))
        return Slicing(axis, slices) if chosen <= share else None

    return [[draw_one() for _ in range(scans)] for _ in range(batch)]


def acquire_slices(image: Tensor, cut: Sequence[Sequence[Slicing | None]]) -> Tensor:
    """Average scans within thick slices and interpolate them back.

    The operation is linear, so that a change of a scan may go through it alone.

    Args:
        image: (b, m, k, j, i).
        cut: from `draw_slicings`.
    """
    out, shape = image.clone(), tuple(image.shape[2:])
    for b, scans in enumerate(cut):
        for m, slicing in enumerate(scans):
            if slicing is not None:
                size = tuple(
                    slicing.slices if axis == slicing.axis else n for axis, n in enumerate(shape)
                )
                thick = functional.interpolate(image[b : b + 1, m : m + 1], size=size, mode="area")
                out[b, m] = functional.interpolate(
                    thick, size=shape, mode="trilinear", align_corners=False
                )[0, 0]
    return out


def add_motion(image: Tensor, generator: torch.Generator, *, share: float = 0.15) -> Tensor:
    """Add motion artefacts to a share of the scans.

    Some lines of k-space, along one axis, are those of a shifted head.
    """
    out = image.clone()
    for b, m in torch.nonzero(chance(image.shape[:2], share, generator)).tolist():
        axis = int(torch.randint(3, (1,), generator=generator, device=generator.device))
        shift = [
            int(n) for n in torch.randint(-3, 4, (3,), generator=generator, device=generator.device)
        ]
        lines = torch.fft.rfft(image[b, m], dim=axis)
        other = torch.fft.rfft(image[b, m].roll(shift, (0, 1, 2)), dim=axis)
        count = lines.shape[axis]
        taken = chance((count,), 0.3, generator)
        taken[: max(2, count // 12)] = False  # the centre is acquired in a moment
        view = [count if a == axis else 1 for a in range(3)]
        out[b, m] = torch.fft.irfft(
            torch.where(taken.reshape(view), other, lines), n=image.shape[2 + axis], dim=axis
        ).clamp(min=0)
    return out


def add_ghosts(image: Tensor, generator: torch.Generator, *, share: float = 0.15) -> Tensor:
    """Add faint copies of the head, evenly spaced along one axis, to a share of the scans."""
    out = image.clone()
    for b, m in torch.nonzero(chance(image.shape[:2], share, generator)).tolist():
        axis = int(torch.randint(3, (1,), generator=generator, device=generator.device))
        copies = int(torch.randint(2, 5, (1,), generator=generator, device=generator.device))
        strength = float(uniform((1,), 0.01, 0.08, generator))
        step = image.shape[2 + axis] // copies
        for n in range(1, copies):
            out[b, m] += strength * image[b, m].roll(n * step, axis)
    return out


def add_noise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Add Rician noise of up to 8 % of the brightest tissue."""
    top = image.flatten(2).amax(2).clamp(min=1e-6) * 0.6
    sigma = expand_axes(
        top
        * uniform(image.shape[:2], 0.003, 0.08, generator)
        * uniform(image.shape[:2], 0.3, 1.0, generator)
    )
    return torch.sqrt(
        (image + sigma * normal(image.shape, generator)) ** 2
        + (sigma * normal(image.shape, generator)) ** 2
    )


def change_gamma(image: Tensor, generator: torch.Generator, *, spread: float = 0.25) -> Tensor:
    """Raise intensities, scaled to 0–1, to a power whose logarithm is normal."""
    top = expand_axes(image.flatten(2).amax(2).clamp(min=1e-6))
    return top * (image / top).clamp(min=0) ** expand_axes(
        torch.exp(spread * normal(image.shape[:2], generator))
    )


def draw_field_of_view(
    batch: int, shape: tuple[int, int, int], generator: torch.Generator, *, share: float = 0.2
) -> Tensor:
    """Draw which voxels are acquired.

    A share of the patients lacks slices at one end, up to a quarter of the volume.

    Returns:
        (batch, 1, k, j, i) bool.
    """
    acquired = torch.ones((batch, 1, *shape), dtype=torch.bool, device=generator.device)
    for b in torch.nonzero(chance((batch,), share, generator)).flatten().tolist():
        axis, end = (
            int(torch.randint(n, (1,), generator=generator, device=generator.device))
            for n in (3, 2)
        )
        count = max(1, int(float(uniform((1,), 0.0, 0.25, generator)) * shape[axis]))
        missing = slice(None, count) if end else slice(-count, None)
        acquired[b, 0].movedim(axis, 0)[missing] = False
    return acquired
