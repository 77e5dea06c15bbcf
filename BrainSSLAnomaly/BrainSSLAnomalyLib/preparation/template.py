"""The bundled atlas: what a healthy brain holds at each place of the template grid.

The grid is that of MNI152 at 1 mm, in RAS order: (k, j, i) = (182, 218, 182). Probabilities are
kept at 2 mm, regions at 1 mm. ``python -m training.release.anatomy`` makes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import COARSE_GRID, INTRACRANIAL, TEMPLATE_GRID, Tissue
from ..core.resources import resource
from ..core.study import Volume


@dataclass(frozen=True)
class Template:
    """Hold the content of ``Resources/Anatomy``.

    Attributes:
        tissues: (11, k, j, i) float32, probability of each `Tissue`, on the coarse grid; what is
            missing to 1 is air.
        regions: (k, j, i) uint8 codes of `Region`, on the template grid.
        ventricle_mm: (k, j, i) float32, mean distance to the nearest ventricle, coarse grid.
    """

    tissues: NDArray[np.float32]
    regions: NDArray[np.uint8]
    ventricle_mm: NDArray[np.float32]

    @property
    def intracranial(self) -> Volume:
        """Return the probability of being inside the skull, coarse grid."""
        return self.probability_of(*INTRACRANIAL)

    @property
    def region_volume(self) -> Volume:
        """Return the regions as a volume, template grid."""
        return Volume(self.regions, TEMPLATE_GRID.affine)

    def probability_of(self, *tissues: Tissue) -> Volume:
        """Return the summed probability of some tissues, coarse grid."""
        return Volume(self.tissues[list(tissues)].sum(0), COARSE_GRID.affine)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Return the bundled atlas; reads it once (about 0.2 s)."""
    maps, distances, regions = (_read(f"{n}.nii.gz") for n in ("tissues", "distances", "regions"))
    return Template(
        tissues=(maps / np.float32(255)).astype(np.float32),
        regions=np.ascontiguousarray(regions, np.uint8),
        ventricle_mm=distances[0].astype(np.float32) / 4,
    )


def _read(name: str) -> NDArray[np.uint8]:
    from nibabel.nifti1 import Nifti1Image

    image = Nifti1Image.from_filename(resource("Anatomy", name))
    array: NDArray[np.uint8] = np.asarray(image.dataobj, np.uint8).T
    return array
