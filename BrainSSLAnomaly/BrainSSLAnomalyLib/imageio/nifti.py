"""Volumes to NIfTI files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..core.files import replacing_file
from ..core.study import Volume

COMPRESSION = 1
"""Level of gzip: the fastest; higher levels save little on maps."""


def write_volume(path: Path, volume: Volume, dtype: DTypeLike, *, step: float = 1.0) -> None:
    """Write a NIfTI-1 file, compressed if its name ends in ``.gz``.

    Args:
        path: of the file; its folder must exist.
        volume: to write.
        dtype: of the voxels in the file.
        step: what the file counts in: for values between whole numbers of an integer type.

    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    from nibabel.nifti1 import Nifti1Image
    from nibabel.openers import Opener

    array = np.asarray(volume.array)
    stored = array if step == 1.0 else np.round(array / step)
    image = Nifti1Image(stored.T.astype(dtype), volume.affine)
    if step != 1.0:
        image.header.set_slope_inter(step, 0.0)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, 1, strip_shears=True)
    image.set_sform(volume.affine, 1)
    level, Opener.default_compresslevel = Opener.default_compresslevel, COMPRESSION
    try:
        with replacing_file(path) as partial:
            image.to_filename(partial)
    finally:
        Opener.default_compresslevel = level


def read_volume(path: Path) -> Volume:
    """Return a NIfTI file of three axes as it is stored, without any check.

    Raises:
        OSError, ValueError, nibabel.filebasedimages.ImageFileError: it cannot be read.
    """
    from nibabel.nifti1 import Nifti1Image

    image = Nifti1Image.from_filename(path)
    array = np.ascontiguousarray(np.asarray(image.dataobj).T)
    return Volume(array, np.asarray(image.affine, float))
