"""Where the training data lies, and how its volumes are read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from BrainSSLAnomalyLib.core.study import Volume
from numpy.typing import NDArray

DATA = Path(
    os.environ.get("BRAINSSL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
"""Root of the data described in its own README; set BRAINSSL_DATA to move it."""


def load(path: Path) -> Volume:
    """Read a NIfTI file as it is, (k, j, i) float32."""
    from nibabel.nifti1 import (
        Nifti1Image,  # training itself runs without nibabel
    )

    image = Nifti1Image.from_filename(path)
    array = np.asarray(image.dataobj, np.float32)
    return Volume(
        np.ascontiguousarray(array.reshape(array.shape[:3]).T), np.asarray(image.affine, float)
    )


def load_upright(path: Path) -> NDArray[np.float32]:
    """Read a NIfTI file with its axes turned: (k, j, i) rise to superior, anterior, right."""
    from nibabel import orientations

    volume = load(path)
    turn = orientations.io_orientation(volume.affine)
    return np.ascontiguousarray(orientations.apply_orientation(volume.array.T, turn).T)
