"""Normative maps: mean and SD of z in healthy people at each place of the template.

Tissue means and the anatomy do not explain everything: motor cortex is darker on T1 than other
cortex, the limbic lobe is brighter on FLAIR, the putamen varies from person to person.
``python -m training.release.normative_maps`` learns the rest from healthy scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid
from ..core.resampling import resample
from ..core.resources import resource
from ..core.study import Modality, Volume

MEAN_STEP, SD_STEP = 16.0, 32.0
"""One unit of the file is this part of a standard deviation; means are stored with 128 added."""

LEARNED = (Modality.T1, Modality.FLAIR)
"""T1 from 60 people; FLAIR from the one healthy scan at hand, halved towards 0, since half of it is
that person's own."""


@dataclass(frozen=True)
class NormativeMaps:
    """Hold mean and SD of the z-score of healthy people.

    Attributes:
        mean: coarse template grid, in SD.
        sd: coarse template grid, in SD; never below 1.
    """

    mean: Volume
    sd: Volume

    def standardise(
        self, z: NDArray[np.float32], grid: Grid, template_to_patient: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return z relative to healthy people at the same place.

        Args:
            z: (k, j, i).
            grid: of z.
            template_to_patient: (4, 4), RAS mm → RAS mm.
        """
        world = np.linalg.inv(template_to_patient)
        mean = resample(self.mean, grid, world)
        standardised: NDArray[np.float32] = (z - mean) / resample(self.sd, grid, world, fill=1.0)
        return standardised


@lru_cache(maxsize=8)
def normative_maps(modality: Modality) -> NormativeMaps | None:
    """Return the maps of a modality, or None where they have not been learned."""
    from nibabel.nifti1 import Nifti1Image

    if modality not in LEARNED:
        return None
    image = Nifti1Image.from_filename(resource("Anatomy", f"normative_{modality.key}.nii.gz"))
    stored = np.asarray(image.dataobj).T.astype(np.float32)
    affine = np.asarray(image.affine, float)
    return NormativeMaps(
        mean=Volume((stored[0] - 128) / MEAN_STEP, affine),
        sd=Volume(np.maximum(stored[1] / SD_STEP, 1), affine),
    )
