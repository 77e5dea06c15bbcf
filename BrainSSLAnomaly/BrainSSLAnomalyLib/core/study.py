"""The input: volumes of one patient at one time point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UnsuitableScan
from .grid import Box, Grid


class Modality(str, Enum):
    """Name the MRI contrast of a scan; the value is the name that users and files have for it."""

    T1 = "T1"
    T1C = "T1c"
    T2 = "T2"
    FLAIR = "FLAIR"
    PD = "PD"

    @classmethod
    def _missing_(cls, value: object) -> Modality | None:
        """Return the contrast of a name in other letters, e.g. ``flair``."""
        name = value.lower() if isinstance(value, str) else value
        return next((modality for modality in cls if modality.key == name), None)

    @property
    def key(self) -> str:
        """Return the lower-case name used in options and file names, e.g. ``flair``."""
        return self.value.lower()


_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
"""Of the units that a NIfTI header can name; anything else is taken as mm."""

REFERENCE_ORDER = (Modality.FLAIR, Modality.T2, Modality.T1, Modality.T1C, Modality.PD)
"""The first of these that is present is the reference: results are written on its grid."""


@dataclass(frozen=True)
class Volume:
    """Hold a three-dimensional array with its place in the patient.

    Attributes:
        array: shape (k, j, i), any real or boolean dtype. Not to be written to.
        affine: (4, 4), maps homogeneous (i, j, k, 1) to RAS millimetres (right, anterior and
            superior are positive).
    """

    array: NDArray
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"a volume has three axes, this array has {self.array.ndim}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"an affine is 4×4, this one is {self.affine.shape}")

    @classmethod
    def from_nibabel(cls, image: Any) -> Volume:
        """Return the volume of an image of nibabel, whose arrays are in the order (i, j, k).

        Args:
            image: a ``nibabel.spatialimages.SpatialImage``, with three axes; further ones of
                length 1 are dropped.

        Raises:
            UnsuitableScan: it has no affine, or is no single volume.

        Example:
            >>> import nibabel
            >>> volume = Volume.from_nibabel(nibabel.load("flair.nii.gz"))
            >>> scan = Scan(volume, Modality.FLAIR)
            >>> study = Study({Modality.FLAIR: scan})
        """
        if image.affine is None:
            raise UnsuitableScan("the image has no affine", "give it one: nothing else tells left")
        array = np.asarray(image.dataobj)
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim != 3 or array.dtype.kind not in "biuf":
            raise UnsuitableScan(
                f"the image has the type {array.dtype} and the shape {array.shape}",
                "give a single volume of three axes and real values",
            )
        units = getattr(image.header, "get_xyzt_units", lambda: ("mm", "sec"))()[0]
        scale = np.diag([*(_MILLIMETRES.get(units, 1.0),) * 3, 1.0])
        return cls(np.ascontiguousarray(array.T), scale @ np.asarray(image.affine, float))

    @classmethod
    def from_sitk(cls, image: Any) -> Volume:
        """Return the volume of an image of SimpleITK, whose world is LPS.

        Args:
            image: a ``SimpleITK.Image`` with three axes and one value a voxel.

        Raises:
            UnsuitableScan: it is no single volume.

        Example:
            >>> import SimpleITK
            >>> volume = Volume.from_sitk(SimpleITK.ReadImage("flair.nii.gz"))
        """
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise UnsuitableScan(
                f"the image has {image.GetDimension()} axes and "
                f"{image.GetNumberOfComponentsPerPixel()} values a voxel",
                "give a single volume of three axes",
            )
        from .resampling import from_sitk

        volume = from_sitk(image)
        if volume.array.dtype.kind not in "biuf":
            raise UnsuitableScan("the image holds complex numbers", "give the magnitude image")
        return volume

    @property
    def grid(self) -> Grid:
        """Return the grid of the voxels."""
        k, j, i = self.array.shape
        return Grid((k, j, i), self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Return the voxel size along (k, j, i), in mm."""
        return self.grid.spacing

    @property
    def voxel_ml(self) -> float:
        """Return the volume of one voxel, in ml."""
        return self.grid.voxel_ml

    def with_array(self, array: NDArray) -> Volume:
        """Return another array on the same grid.

        Raises:
            ValueError: the array has another shape.
        """
        if array.shape != self.array.shape:
            raise ValueError(f"shape {array.shape} does not fit the grid {self.array.shape}")
        return Volume(array, self.affine)

    def crop(self, box: Box) -> Volume:
        """Return the part of the volume inside a box of slices (k, j, i), in its old place."""
        return Volume(self.array[box], self.grid.crop(box).affine)


@dataclass(frozen=True)
class Scan:
    """Hold one volume with what is known of its origin.

    Attributes:
        volume: the image, on its own grid.
        modality: its contrast.
        source: name of the file or folder without its parents, safe to write into results (no
            patient names).
        sha256: of the bytes that were read; empty for data made in memory.
        guessed_from: what the modality was guessed from, e.g. ``file name``; empty when it was
            given.
    """

    volume: Volume
    modality: Modality
    source: str = ""
    sha256: str = ""
    guessed_from: str = ""


@dataclass(frozen=True)
class Study:
    """Hold the scans of one patient at one time point, any modalities, each on its own grid."""

    scans: Mapping[Modality, Scan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scans:
            raise ValueError("a study holds at least one scan")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Return the modalities that are present, in the order in which a reference is chosen."""
        return tuple(m for m in REFERENCE_ORDER if m in self.scans)

    @property
    def reference(self) -> Scan:
        """Return the scan whose grid the results have: FLAIR, else T2, else T1, T1c, PD."""
        return self.scans[self.modalities[0]]
