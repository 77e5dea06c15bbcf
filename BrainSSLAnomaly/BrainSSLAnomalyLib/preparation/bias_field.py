"""The bias field of the scanner: estimated by N4 and divided out."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.resampling import from_sitk, resample, to_sitk
from ..core.study import Volume

CONTROL_POINTS = 4
"""Control points of the field along each axis: too few to follow a large tumour."""

ITERATIONS = [20, 20]
"""At most, with the field's grid as it is and refined once."""


def estimate_log_bias_field(scan: Volume, mask: Volume) -> Volume | None:
    """Return the natural logarithm of the multiplicative bias field.

    Tustison et al., N4ITK, IEEE TMI 29 (2010) 1310–1320. A field so smooth needs no more than every
    fourth voxel, and time goes with their number.

    Args:
        scan: a coarse copy (about 4 mm), with positive intensities inside the mask.
        mask: brain on the same grid, bool.

    Returns:
        The field on the grid of ``scan``, or None where the scan has been standardised to negative
        values: no field is left to estimate.
    """
    inside = scan.array[mask.array]
    if inside.size == 0 or np.percentile(inside, 2) <= 0:
        return None
    image = to_sitk(scan.with_array(np.maximum(scan.array, 1e-3 * float(np.median(inside)))))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetConvergenceThreshold(1e-4)
    n4.SetNumberOfControlPoints([CONTROL_POINTS] * 3)
    sampled = mask.with_array(mask.array & _every_fourth(mask.array.shape))
    weights = to_sitk(sampled, np.uint8)
    weights.CopyInformation(image)
    n4.Execute(image, weights)
    field = from_sitk(n4.GetLogBiasFieldAsImage(image)).array
    field = field - np.mean(field[mask.array])
    return scan.with_array(np.clip(field, -1.0, 1.0).astype(np.float32))


def _every_fourth(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return every fourth voxel, as far from each other as can be (face-centred cubic)."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    sampled: NDArray[np.bool_] = ((k + j) % 2 == 0) & ((j + i) % 2 == 0)
    return sampled


def correct_bias_field(scan: Volume, log_field: Volume | None) -> NDArray[np.float32]:
    """Return the scan divided by the field, on its own grid; as it is where there is no field."""
    array = np.asarray(scan.array, np.float32)
    if log_field is None:
        return array
    corrected = array / np.exp(resample(log_field, scan.grid))
    return np.asarray(corrected, np.float32)
