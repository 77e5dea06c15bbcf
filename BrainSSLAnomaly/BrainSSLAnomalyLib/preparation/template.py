"""The bundled anatomy: what a healthy brain holds at each place of the template grid.

The grid is that of MNI152 at 1 mm, in RAS order: (k, j, i) = (182, 218, 182). Probabilities are kept at 2 mm,
regions at 1 mm. ``python -m training.build_anatomy`` makes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import COARSE_AFFINE, INTRACRANIAL, Tissue
from ..core.resources import resource
from ..core.study import Volume


@dataclass(frozen=True)
class Template:
    """What ships in ``Resources/Anatomy``.

    Attributes:
        tissues: (11, k, j, i) float32, probability of each `Tissue`, on the coarse grid; what is missing to 1 is air.
        regions: (k, j, i) uint8 codes of `Region`, on the template grid.
        ventricle_mm: (k, j, i) float32, mean distance to the nearest ventricle, coarse grid.
        cortex_mm: (k, j, i) float32, mean distance to the nearest cerebral cortex, coarse grid.
    """

    tissues: NDArray[np.float32]
    regions: NDArray[np.uint8]
    ventricle_mm: NDArray[np.float32]
    cortex_mm: NDArray[np.float32]

    @property
    def intracranial(self) -> Volume:
        """Probability of being inside the skull, coarse grid."""
        return Volume(self.tissues[list(INTRACRANIAL)].sum(0), COARSE_AFFINE)

    def tissue(self, *tissues: Tissue) -> Volume:
        """Summed probability of some tissues, coarse grid."""
        return Volume(self.tissues[list(tissues)].sum(0), COARSE_AFFINE)


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Read the bundled anatomy once (about 0.2 s)."""
    maps, distances, regions = (
        _read(f"{name}.nii.gz") for name in ("tissues", "distances", "regions")
    )
    return Template(
        tissues=(maps / np.float32(255)).astype(np.float32),
        regions=np.ascontiguousarray(regions, np.uint8),
        ventricle_mm=distances[0].astype(np.float32) / 4,
        cortex_mm=distances[1].astype(np.float32) / 4,
    )


def _read(name: str) -> NDArray[np.uint8]:
    from nibabel.nifti1 import Nifti1Image

    return np.asarray(Nifti1Image.from_filename(resource("Anatomy", name)).dataobj).T
