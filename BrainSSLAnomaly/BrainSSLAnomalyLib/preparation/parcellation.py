"""What the anatomy network has seen in a scan, and what follows from it: the brain, its tissues, its pose, the names of its places.

The network itself comes in as a function: nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.anatomy import (
    INTRACRANIAL,
    STRUCTURE_SPACING_MM,
    TEMPLATE_AFFINE,
    TISSUE_OF_STRUCTURE,
    Region,
    Structure,
    Tissue,
)
from ..core.study import Volume
from .canonical import foreground
from .template import Template

Look = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(k, j, i) intensities with their median in the head at 1, on upright voxels of 2 mm → (18, k, j, i) probability of each `Structure`."""

BRIGHTEST = 6.0
WINDOW = (96, 96, 80)
"""Voxels that the network is shown at once, as in training: 192 by 192 by 160 mm. On more or less of a head it fails."""

ABOVE_MM = 8.0
"""Air above the crown in the first window."""

S, R = Structure, Region


def _sides(*names: str) -> dict[Structure, tuple[Region, ...]]:
    return {
        S[f"{side}_{names[0]}"]: tuple(R[f"{side}_{n}"] for n in names[1:])
        for side in ("LEFT", "RIGHT")
    }


_LOBES = ("FRONTAL", "PARIETAL", "TEMPORAL", "OCCIPITAL", "INSULA", "CINGULATE")
REGIONS_OF: dict[Structure, tuple[Region, ...]] = {
    **_sides("CORTEX", *_LOBES),
    **{s: (*regions, R.CORPUS_CALLOSUM) for s, regions in _sides("WHITE", *_LOBES).items()},
    **_sides("STRIATUM", "CAUDATE", "LENTIFORM"),
    **_sides("THALAMUS", "THALAMUS", "LENTIFORM"),  # with the pallidum
    **_sides("HIPPOCAMPUS", "HIPPOCAMPUS", "AMYGDALA"),
    **_sides("VENTRICLE", "LATERAL_VENTRICLE"),
    **_sides("CEREBELLUM", "CEREBELLUM"),
    S.MIDLINE_VENTRICLES: (R.THIRD_OR_FOURTH_VENTRICLE,),
    S.BRAINSTEM: (R.LEFT_BRAINSTEM, R.RIGHT_BRAINSTEM),
}
"""What a voxel of each structure may be called; fluid outside the ventricles keeps the name of its neighbourhood."""

_LANDMARKS: tuple[tuple[tuple[Structure, ...], tuple[Region, ...]], ...] = tuple(
    ((S[f"{side}_{name}"],), REGIONS_OF[S[f"{side}_{name}"]])
    for side in ("LEFT", "RIGHT")
    for name in ("STRIATUM", "THALAMUS", "HIPPOCAMPUS", "VENTRICLE", "CEREBELLUM")
)
_LANDMARKS += tuple(
    ((S[f"{s}_WHITE"], S[f"{s}_CORTEX"]), REGIONS_OF[S[f"{s}_WHITE"]]) for s in ("LEFT", "RIGHT")
)
_LANDMARKS += (((S.BRAINSTEM,), REGIONS_OF[S.BRAINSTEM]),)
LEAST_LANDMARKS, LEAST_ML, LARGEST_RESIDUAL_MM = 8, 0.5, 8.0


@dataclass(frozen=True)
class SeenAnatomy:
    """Probability of each `Structure` on an upright 2 mm grid.

    Attributes:
        probability: (18, k, j, i) float32, summing to 1.
        affine: (i, j, k) → RAS mm.
    """

    probability: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def inside(self) -> Volume:
        """Probability of being inside the skull."""
        return Volume(1 - self.probability[S.OUTSIDE], self.affine)

    def names(self) -> NDArray[np.uint8]:
        """(k, j, i) the likeliest `Structure`."""
        return self.probability.argmax(0).astype(np.uint8)


def see(look: Look, scans: Iterable[Volume]) -> SeenAnatomy:
    """Let the network look at scans of one patient; what it sees in each counts the same.

    Args:
        look: the network.
        scans: at least one, aligned, all on one upright grid of `STRUCTURE_SPACING_MM`.
    """
    looks = [_seen_in(look, scan) for scan in scans]
    total = looks[0].probability.copy()
    for other in looks[1:]:
        total += other.probability
    return SeenAnatomy(total / len(looks), looks[0].affine)


def _seen_in(look: Look, scan: Volume) -> SeenAnatomy:
    """Two looks: the first below the crown, the second around the brain that the first has found."""
    head = foreground(scan)
    if not head.any():
        head = np.ones(scan.array.shape, bool)
    array = scan.array - scan.array.min()
    array = np.clip(array / max(float(np.median(array[head])), 1e-6), 0, BRIGHTEST).astype(
        np.float32
    )
    crown = int(np.nonzero(head.any((1, 2)))[0].max())
    upper = head[max(0, crown - WINDOW[0]) :]
    middle = [float(n.mean()) for n in np.nonzero(upper)]
    seen = _through_window(
        look, array, (crown + ABOVE_MM / STRUCTURE_SPACING_MM - WINDOW[0] / 2, middle[1], middle[2])
    )
    inside = 1 - seen[S.OUTSIDE]
    if inside.sum() > 1:
        middle = [
            float((np.arange(n) * inside.sum(axes)).sum() / inside.sum())
            for n, axes in zip(inside.shape, _OTHER_AXES, strict=True)
        ]
        seen = _through_window(look, array, (middle[0], middle[1], middle[2]))
    return SeenAnatomy(seen, scan.affine)


_OTHER_AXES = ((1, 2), (0, 2), (0, 1))


def _through_window(
    look: Look, array: NDArray[np.float32], middle: tuple[float, float, float]
) -> NDArray[np.float32]:
    """(18, k, j, i): what is seen in a window about a voxel; outside of it everything is outside the brain."""
    first = [round(m - n / 2) for m, n in zip(middle, WINDOW, strict=True)]
    here = tuple(
        slice(max(0, f), max(0, min(n, f + w)))
        for f, n, w in zip(first, array.shape, WINDOW, strict=True)
    )
    there = tuple(slice(h.start - f, h.stop - f) for h, f in zip(here, first, strict=True))
    shown = np.zeros(WINDOW, np.float32)
    shown[there] = array[here]
    out = np.zeros((len(Structure), *array.shape), np.float32)
    out[S.OUTSIDE] = 1
    out[:, here[0], here[1], here[2]] = look(shown)[:, there[0], there[1], there[2]]
    return out


def tissues(seen: SeenAnatomy, priors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(11, k, j, i) probability of each `Tissue`, as seen; bone, soft tissue and the cerebellum's two shared as in the atlas.

    Args:
        seen: on the grid of the priors.
        priors: (11, k, j, i) of the atlas.
    """
    out = np.zeros_like(priors)
    for structure, tissue in zip(S, TISSUE_OF_STRUCTURE, strict=True):
        if tissue is not None:
            out[tissue] += seen.probability[structure]
    two = [Tissue.CEREBELLUM_WHITE, Tissue.CEREBELLUM_CORTEX]
    cerebellum = seen.probability[[S.LEFT_CEREBELLUM, S.RIGHT_CEREBELLUM]].sum(0)
    out[two] = cerebellum * (priors[two] + 0.01) / (priors[two].sum(0) + 0.02)
    head = [Tissue.BONE, Tissue.SOFT]
    beyond = np.maximum(1 - priors[list(INTRACRANIAL)].sum(0), 1e-3)
    out[head] = seen.probability[S.OUTSIDE] * np.minimum(priors[head] / beyond, 1)
    return out


def pose(seen: SeenAnatomy, template: Template) -> NDArray[np.float64] | None:
    """Where the template lies in the patient, from the centres of what was seen, or None if it does not look like a brain.

    The similarity with the least squares of distances: Umeyama, IEEE PAMI 13 (1991) 376–380.

    Returns:
        (4, 4): RAS mm of the template → RAS mm of the patient.
    """
    names = seen.names()
    known, found = [], []
    for structures, regions in _LANDMARKS:
        own = np.isin(names, structures)
        if own.sum() * STRUCTURE_SPACING_MM**3 / 1000 >= LEAST_ML:
            found.append(_centre(own, seen.affine))
            known.append(_centre(np.isin(template.regions, regions), TEMPLATE_AFFINE))
    if len(known) < LEAST_LANDMARKS:
        return None
    a, b = np.array(known), np.array(found)
    x, y = a - a.mean(0), b - b.mean(0)
    u, d, v = np.linalg.svd(y.T @ x)
    if np.linalg.det(u @ v) < 0:
        return None
    scale = d.sum() / (x**2).sum()
    world = np.eye(4)
    world[:3, :3] = scale * u @ v
    world[:3, 3] = b.mean(0) - world[:3, :3] @ a.mean(0)
    residual = np.sqrt(((y - scale * x @ (u @ v).T) ** 2).sum(1).mean())
    return world if residual <= LARGEST_RESIDUAL_MM and 0.7 < scale < 1.4 else None


def named(seen: SeenAnatomy, regions: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes of `Region` in the patient's own anatomy: where atlas and patient disagree, the nearest place that fits what was seen.

    Args:
        regions: (k, j, i) codes of `Region` from the atlas, on the grid of what was seen.
    """
    names = seen.names()
    out = regions.copy()
    for structure, allowed in REGIONS_OF.items():
        fits = np.isin(regions, allowed)
        astray = (names == structure) & ~fits
        if astray.any() and fits.any():
            box = ndimage.find_objects((astray | fits).astype(np.uint8))[0]
            _, nearest = ndimage.distance_transform_edt(~fits[box], return_indices=True)
            at = tuple(n[astray[box]] for n in nearest)
            out[box][astray[box]] = regions[box][at]
    return out


def _centre(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    k, j, i = (float(n.mean()) for n in np.nonzero(mask))
    return (affine @ [i, j, k, 1.0])[:3]
