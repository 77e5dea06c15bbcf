"""A study ready for scoring: aligned, bias-free, normalised, with its anatomy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy
from ..core.grid import Box, Grid, embed
from ..core.progress import StageTime
from ..core.study import Modality, Study, Volume
from .tissues import TissueIntensities


@dataclass(frozen=True)
class PreparedStudy:
    """Hold what scoring needs.

    Arrays are (k, j, i). Those marked "box" are on the bounding box of the brain, the others on the
    whole grid of the reference.

    Attributes:
        study: the scans as they were read.
        brain_mask: bool, intracranial.
        box: bounding box of the brain.
        images: modality → float32, box, normalised: parenchyma has mean 0 and SD 1.
        intensities: modality → mean and SD of every tissue, in the units of ``images``.
        priors: (9, ...) float32, box, probability of each intracranial tissue by the anatomy alone,
            summing to 1.
        posterior: (9, ...) float32, box, the same given the images.
        edge_mm: float32, box, distance to the edge of the brain mask.
        background: bool, box, voxels that some scan leaves at its lowest value: nothing was
            measured there.
        anatomy: regions and zones.
        template_to_reference: (4, 4), RAS mm of the template → RAS mm of the reference scan.
        reference_to_scan: modality → (4, 4), RAS mm of the reference → RAS mm of that scan.
        is_stripped: whether the scans came without skull.
        times: of each stage.
    """

    study: Study
    brain_mask: NDArray[np.bool_]
    box: Box
    images: Mapping[Modality, NDArray[np.float32]]
    intensities: Mapping[Modality, TissueIntensities]
    priors: NDArray[np.float32]
    posterior: NDArray[np.float32]
    edge_mm: NDArray[np.float32]
    background: NDArray[np.bool_]
    anatomy: PatientAnatomy
    template_to_reference: NDArray[np.float64]
    reference_to_scan: Mapping[Modality, NDArray[np.float64]]
    is_stripped: bool
    times: Mapping[str, StageTime] = field(default_factory=dict)

    @property
    def reference(self) -> Volume:
        """Return the scan on whose grid the results are."""
        return self.study.reference.volume

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Return the brain mask, box."""
        return self.brain_mask[self.box]

    @property
    def box_grid(self) -> Grid:
        """Return the grid of the box."""
        return self.reference.grid.crop(self.box)

    def box_volume(self, array: NDArray) -> Volume:
        """Return an array of the box as a volume in float32."""
        return Volume(np.asarray(array, np.float32), self.box_grid.affine)

    def on_whole_grid(self, array: NDArray) -> NDArray:
        """Return an array of the box on the grid of the reference, 0 outside the box."""
        return embed(array, self.box, self.reference.grid.shape)
