"""Where voxels lie: the one description of a grid, with crop and padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
"""Slices along (k, j, i)."""

Shape = tuple[int, int, int]
"""Numbers of voxels along (k, j, i)."""


@dataclass(frozen=True)
class Grid:
    """Describe the voxels of a volume: how many there are, and where they lie in the patient.

    Attributes:
        shape: number of voxels along (k, j, i).
        affine: (4, 4), maps homogeneous (i, j, k, 1) to RAS millimetres (right, anterior and
            superior are positive).

    Example:
        >>> grid = Grid((10, 20, 30), np.diag([1.0, 1.0, 3.0, 1.0]))
        >>> grid.spacing
        (3.0, 1.0, 1.0)
        >>> float(grid.crop((slice(2, 5), slice(0, 20), slice(0, 30))).affine[2, 3])
        6.0
    """

    shape: Shape
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise ValueError(f"a grid has three axes, this shape has {len(self.shape)}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"an affine is 4×4, this one is {self.affine.shape}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.matches(other, tolerance=0.0)

    __hash__ = None  # type: ignore[assignment]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the voxel size along (k, j, i), in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def voxel_ml(self) -> float:
        """Return the volume of one voxel, in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def matches(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """Return whether both grids have the same voxels, up to a tolerance of the affine in mm."""
        return self.shape == other.shape and np.allclose(
            self.affine, other.affine, rtol=0.0, atol=tolerance
        )

    def crop(self, box: Box) -> Grid:
        """Return the part of the grid inside a box, in its old place.

        Args:
            box: slices along (k, j, i). A start may be negative, so that a margin is added.
        """
        affine = self.affine.copy()
        affine[:3, 3] = self.to_ras((box[0].start, box[1].start, box[2].start))
        k, j, i = (int(part.stop - part.start) for part in box)
        return Grid((k, j, i), affine)

    def to_ras(self, index: tuple[float, float, float]) -> NDArray[np.float64]:
        """Return the place of a voxel index (k, j, i), in RAS mm."""
        k, j, i = index
        place: NDArray[np.float64] = (self.affine @ [i, j, k, 1.0])[:3]
        return place

    def to_index(self, place: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the voxel index (k, j, i), not rounded, of a place in RAS mm."""
        i, j, k = (np.linalg.inv(self.affine) @ [*place, 1.0])[:3]
        return float(k), float(j), float(i)


def bounding_box(mask: NDArray[np.bool_], margin: tuple[int, int, int] = (0, 0, 0)) -> Box:
    """Return the smallest box that holds a mask, grown by a margin but not beyond the array.

    Args:
        mask: (k, j, i) bool with at least one voxel set.
        margin: voxels along (k, j, i).
    """
    parts = []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = int(line[0]) - margin[axis], int(line[-1]) + 1 + margin[axis]
        parts.append(slice(max(0, low), min(mask.shape[axis], high)))
    return parts[0], parts[1], parts[2]


def embed(cropped: NDArray, box: Box, shape: Shape) -> NDArray:
    """Return an array of a box on the whole grid, 0 outside the box.

    Args:
        cropped: (..., k, j, i) on the box.
        box: slices along (k, j, i) of the whole grid.
        shape: of the whole grid.
    """
    whole = np.zeros((*cropped.shape[:-3], *shape), cropped.dtype)
    inside = (Ellipsis, *box)
    whole[inside] = cropped
    return whole


def level_reached(values: NDArray[np.floating], ml: float, voxel_ml: float) -> float:
    """Return the highest level that a volume of voxels reaches.

    Args:
        values: of some voxels, any shape.
        ml: the volume.
        voxel_ml: volume of a voxel, in ml.

    Returns:
        0 where there are fewer voxels than that.

    Example:
        >>> level_reached(np.array([0.9, 0.2, 0.7]), ml=0.002, voxel_ml=0.001)
        0.7
    """
    rank = max(1, round(ml / voxel_ml))
    if values.size < rank:
        return 0.0
    return float(-np.partition(-values.ravel(), rank - 1)[rank - 1])
