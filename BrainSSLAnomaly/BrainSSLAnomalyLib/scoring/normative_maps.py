"""What is usual at each place in healthy people: mean and spread of z, on the template grid.

Tissue means and the anatomy do not explain everything: motor cortex is darker on T1 than other cortex, the limbic lobe is
brighter on FLAIR, the putamen varies from person to person. ``python -m training.build_healthy_places`` learns
the rest from healthy scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.resampling import resample
from ..core.resources import resource
from ..core.study import Modality, Volume

MEAN_STEP, SD_STEP = 16.0, 32.0
"""One unit of the file is this part of a standard deviation; means are stored with 128 added."""


LEARNED = (Modality.T1, Modality.FLAIR)
"""T1 from 60 people; FLAIR from the one healthy scan there is, halved towards nothing, since half of it is that person's own."""


@dataclass(frozen=True)
class HealthyPlaces:
    """Mean and spread of the z-score of healthy people.

    Attributes:
        mean, sd: coarse template grid, in SD; the spread is never below 1.
    """

    mean: Volume
    sd: Volume

    def standardise(
        self,
        z: NDArray[np.float32],
        affine: NDArray[np.float64],
        template_to_patient: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        """z measured against what is usual at its place.

        Args:
            z: (k, j, i).
            affine: of its grid, (i, j, k) → RAS mm of the patient.
            template_to_patient: (4, 4), RAS mm → RAS mm.
        """
        world = np.linalg.inv(template_to_patient)
        mean = resample(self.mean, z.shape, affine, world)
        return (z - mean) / resample(self.sd, z.shape, affine, world, fill=1.0)


@lru_cache(maxsize=8)
def healthy_places(modality: Modality) -> HealthyPlaces | None:
    """The maps of a modality, or None where too few healthy scans exist to learn them."""
    from nibabel.nifti1 import Nifti1Image

    if modality not in LEARNED:
        return None
    image = Nifti1Image.from_filename(resource("Anatomy", f"places_{modality.key}.nii.gz"))
    stored = np.asarray(image.dataobj).T.astype(np.float32)
    affine = np.asarray(image.affine, float)
    return HealthyPlaces(
        Volume((stored[0] - 128) / MEAN_STEP, affine),
        Volume(np.maximum(stored[1] / SD_STEP, 1), affine),
    )
