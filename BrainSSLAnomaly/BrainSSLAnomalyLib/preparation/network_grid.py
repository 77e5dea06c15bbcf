"""A prepared study on the grid that networks work on, upright and 1 mm, with the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.resampling import resample
from ..core.study import Modality, Volume
from .canonical import canonical_grid
from .prepared import PreparedStudy

SPACING_MM = 1.0

SHARP_MM = 3.5
"""Slices are looked at across an axis only if both of their own axes are this fine or finer."""


@dataclass(frozen=True)
class UprightStudy:
    """Arrays are (k, j, i), rising to superior, anterior, right.

    Attributes:
        images: modality → float32, parenchyma with mean 0 and SD 1; 0 outside the brain.
        brain: bool.
        affine: (i, j, k) → RAS mm.
        axes: 0, 1, 2 for k, j, i: across which slices are sharp; never none.
        box: the box of the brain on the grid of the reference.
    """

    images: Mapping[Modality, NDArray[np.float32]]
    brain: NDArray[np.bool_]
    affine: NDArray[np.float64]
    axes: tuple[int, ...]
    box: Volume

    def back(self, array: NDArray) -> NDArray[np.float32]:
        """Anything on this grid, on the box of the reference."""
        return resample(
            Volume(np.asarray(array, np.float32), self.affine),
            self.box.array.shape,
            self.box.affine,
        )

    def there(self, array: NDArray) -> NDArray[np.float32]:
        """Anything on the box of the reference, on this grid."""
        return resample(
            self.box.with_array(np.asarray(array, np.float32)), self.brain.shape, self.affine
        )


def upright(
    prepared: PreparedStudy, modalities: tuple[Modality, ...] | None = None
) -> UprightStudy:
    """The study as networks want it.

    Args:
        prepared: the study.
        modalities: those wanted; all by default.
    """
    box = Volume(prepared.brain.astype(np.float32), prepared.box_affine)
    shape, affine = canonical_grid(box, SPACING_MM)
    brain = resample(box, shape, affine) > 0.5
    images = {
        m: resample(box.with_array(prepared.images[m]), shape, affine) * brain
        for m in prepared.images
        if modalities is None or m in modalities
    }
    fine = np.abs(prepared.box_affine[:3, :3]).max(1)[::-1] <= SHARP_MM  # along k, j, i
    axes = tuple(
        axis for axis in range(3) if all(fine[other] for other in range(3) if other != axis)
    )
    return UprightStudy(images, brain, affine, axes or (int(np.argmin(fine)),), box)
