"""The receive field of the scanner, estimated by N4 and taken out."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core.resampling import from_sitk, resample, to_sitk
from ..core.study import Volume


def log_bias_field(scan: Volume, mask: Volume) -> Volume | None:
    """Natural logarithm of the multiplicative field, on the grid of ``scan``.

    Tustison et al., N4ITK, IEEE TMI 29 (2010) 1310–1320. The field is kept stiff (4 control points an axis), so
    that a large tumour is not mistaken for it.

    Args:
        scan: a coarse copy (about 4 mm), with positive intensities inside the mask.
        mask: brain on the same grid, bool.

    Returns:
        The field, or None where the scan has already been standardised to negative values: no field is left to find.
    """
    inside = scan.array[mask.array]
    if inside.size == 0 or np.percentile(inside, 2) <= 0:
        return None
    image = to_sitk(scan.with_array(np.maximum(scan.array, 1e-3 * float(np.median(inside)))))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([40, 20])
    n4.SetConvergenceThreshold(1e-4)
    n4.SetNumberOfControlPoints([4, 4, 4])
    weights = sitk.Cast(to_sitk(mask, np.uint8), sitk.sitkUInt8)
    weights.CopyInformation(image)
    n4.Execute(image, weights)
    field = from_sitk(n4.GetLogBiasFieldAsImage(image)).array
    field = field - np.mean(field[mask.array])
    return scan.with_array(np.clip(field, -1.0, 1.0).astype(np.float32))


def remove_bias(scan: Volume, field: Volume | None) -> NDArray[np.float32]:
    """The scan divided by the field, on its own grid."""
    array = np.asarray(scan.array, np.float32)
    if field is None:
        return array
    return (array / np.exp(resample(field, array.shape, scan.affine))).astype(np.float32)
