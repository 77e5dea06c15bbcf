"""Statistics of a prepared study: z-scores, deviation, and where voxels are scored."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import Tissue
from ..core.grid import level_reached
from ..core.settings import ScoreName
from ..core.study import Modality
from ..preparation import PreparedStudy
from ..scoring.asymmetry import asymmetry
from ..scoring.deviation import EDGE_MM, SOLID_EDGE_MM, SOLID_FLUID, combine_zscores
from ..scoring.normative_maps import normative_maps
from ..scoring.normative_z import median_filter, normative_z

PEAK_ML = 0.1
"""The peak of a scan is the level that this much of it reaches."""


def compute_zscores(
    prepared: PreparedStudy, *, by_place: bool = True
) -> dict[Modality, NDArray[np.float32]]:
    """Return the robust z against healthy people of each modality, the reference first.

    Args:
        prepared: the study.
        by_place: standardise by the normative maps, where they have been learned.

    Returns:
        Modality → (k, j, i) float32 on the box of the brain, in SD; positive is brighter.
    """
    zscores = {}
    for modality, image in prepared.images.items():
        tissues = prepared.intensities[modality]
        z = normative_z(
            image,
            prepared.priors,
            tissues.mean,
            tissues.sd,
            prepared.brain,
            tissues.unbounded_side,
        )
        z = median_filter(z, prepared.reference.spacing)
        maps = normative_maps(modality) if by_place else None
        if maps is not None:
            z = maps.standardise(z, prepared.box_grid, prepared.template_to_reference)
        zscores[modality] = z * prepared.brain
    return zscores


def scored_voxels(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """Return where voxels are scored, on the box of the brain.

    In the brain, away from its edge, and not on the exact background of a stripped scan.
    """
    scored = prepared.brain & (prepared.edge_mm > EDGE_MM)
    return scored & ~prepared.background if prepared.is_stripped else scored


def parenchyma(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """Return white matter and cortex away from the edge, which set the scale of a scan."""
    solid = prepared.posterior[[Tissue.WHITE, Tissue.CORTEX]].sum(0) > 0.8
    inside: NDArray[np.bool_] = scored_voxels(prepared) & solid
    return inside


def solid_brain(prepared: PreparedStudy) -> NDArray[np.bool_]:
    """Return where a deviation of either sign counts, on the box of the brain."""
    fluid = prepared.priors[[Tissue.VENTRICLE, Tissue.CSF]].sum(0)
    inside: NDArray[np.bool_] = (prepared.edge_mm > SOLID_EDGE_MM) & (fluid < SOLID_FLUID)
    return inside


def compute_deviation(
    prepared: PreparedStudy, zscores: Mapping[Modality, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return one standardised deviation from all modalities, on the box of the brain, in SD."""
    return combine_zscores(zscores, parenchyma(prepared), solid_brain(prepared))


def statistical_scores(
    prepared: PreparedStudy,
    zscores: Mapping[Modality, NDArray[np.float32]],
    names: Collection[ScoreName],
) -> dict[ScoreName, NDArray[np.float32]]:
    """Return those of some scores that need no network, on the box of the brain."""
    deviation = compute_deviation(prepared, zscores)
    computed: dict[ScoreName, Callable[[], NDArray[np.float32]]] = {
        ScoreName.STATISTICAL: lambda: deviation,
        ScoreName.ASYMMETRY: lambda: asymmetry(
            deviation, prepared.brain, prepared.box_grid, prepared.template_to_reference
        ),
    }
    return {name: computed[name]() for name in names if name in computed}


def peak_level(prepared: PreparedStudy, values: NDArray[np.float32]) -> float:
    """Return the level of a score that `PEAK_ML` of the scored voxels reach."""
    inside = values[scored_voxels(prepared)]
    return level_reached(inside, PEAK_ML, prepared.reference.voxel_ml)
