"""What comes in: volumes of one patient at one time point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Modality(str, Enum):
    """MRI contrast of a scan. The value is what users and file names call it."""

    T1 = "T1"
    T1C = "T1c"
    T2 = "T2"
    FLAIR = "FLAIR"
    PD = "PD"

    @property
    def key(self) -> str:
        """Lower-case name used in options and file names, e.g. ``flair``."""
        return self.value.lower()


REFERENCE_ORDER = (Modality.FLAIR, Modality.T2, Modality.T1, Modality.T1C, Modality.PD)
"""The first of these that is present is the reference: results are written on its grid."""


@dataclass(frozen=True)
class Volume:
    """A three-dimensional array with its place in the patient.

    Attributes:
        array: shape (k, j, i), any real or boolean dtype. Not to be written to.
        affine: (4, 4), maps homogeneous (i, j, k, 1) to RAS millimetres (right, anterior, superior positive).
    """

    array: NDArray
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"a volume has three axes, this array has {self.array.ndim}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"an affine is 4×4, this one is {self.affine.shape}")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along (k, j, i), in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def with_array(self, array: NDArray) -> Volume:
        """Another array on the same grid."""
        if array.shape != self.array.shape:
            raise ValueError(f"shape {array.shape} does not fit the grid {self.array.shape}")
        return Volume(array, self.affine)


@dataclass(frozen=True)
class Scan:
    """One volume with what is known of where it came from.

    Attributes:
        volume: the image, on its own grid.
        modality: its contrast.
        source: file or folder name without its folders, safe to write into results (no patient names).
        sha256: of the bytes that were read; empty for data made in memory.
        guessed_from: what the modality was guessed from, e.g. ``file name``; empty when it was given.
    """

    volume: Volume
    modality: Modality
    source: str = ""
    sha256: str = ""
    guessed_from: str = ""


@dataclass(frozen=True)
class Study:
    """The scans of one patient at one time point, any subset of modalities, each on its own grid."""

    scans: Mapping[Modality, Scan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scans:
            raise ValueError("a study holds at least one scan")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those present, in the order in which a reference is chosen."""
        return tuple(m for m in REFERENCE_ORDER if m in self.scans)

    @property
    def reference(self) -> Scan:
        """The scan in whose grid the results are written: FLAIR, else T2, else T1, T1c, PD."""
        return self.scans[self.modalities[0]]
