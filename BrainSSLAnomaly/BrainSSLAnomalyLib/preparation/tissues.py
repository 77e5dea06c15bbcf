"""Which intensity each tissue has in this patient: a mixture of Gaussians that the anatomy holds in place.

Histogram modes fail on bimodal scans, because they do not know which peak is which tissue. Here every voxel has a
prior from the anatomy, so the peaks keep their names. Voxels that fit no tissue (lesions) are left out of the
estimate (Van Leemput et al., IEEE TMI 20 (2001) 677–688).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.anatomy import Tissue
from ..core.study import Modality

CORE = 2.0
"""Spreads are measured on the voxels within this many SDs of a tissue's mean, in every modality; lesions lie beyond."""

CORE_VARIANCE = 0.7737
"""Variance of a standard normal distribution cut at ±`CORE`."""

DARK_FLUID: Mapping[Modality, bool] = {
    Modality.T1: True,
    Modality.T1C: True,
    Modality.FLAIR: True,
    Modality.T2: False,
}
"""Whether fluid is darker than white matter. Where that is not known it is asked of the scan, which stripping can mislead: a tight mask
leaves half-filled voxels where the anatomy expects fluid."""

HELD = {"parenchyma": 0.5, "fluid": 1.0}
"""How far each tissue's variance is drawn to that of its family: tissues differ in mean far more than in spread."""

_FAMILIES = {
    "parenchyma": tuple(
        t for t in Tissue if t.intracranial and t not in (Tissue.VENTRICLE, Tissue.CSF)
    ),
    "fluid": (Tissue.VENTRICLE, Tissue.CSF),
}


@dataclass(frozen=True)
class Component:
    """One Gaussian: a tissue may need two (scalp is fat and skin)."""

    tissue: Tissue | None  # None is air
    share: float
    quantile: float  # where in the tissue's intensities it starts


_BRAIN = tuple(Component(t, 1.0, 0.5) for t in Tissue if t.intracranial)
_HEAD = (
    Component(Tissue.BONE, 0.6, 0.2),
    Component(Tissue.BONE, 0.4, 0.8),
    Component(Tissue.SOFT, 0.5, 0.3),
    Component(Tissue.SOFT, 0.5, 0.85),
    Component(None, 1.0, 0.5),
)


@dataclass(frozen=True)
class TissueIntensities:
    """Of one modality: mean and spread of every intracranial tissue, in that scan's own units.

    Attributes:
        mean, sd: shape (9,), in the order of `Tissue`.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def scaled(self, offset: float, scale: float) -> TissueIntensities:
        """After ``(x − offset) / scale``."""
        return TissueIntensities((self.mean - offset) / scale, self.sd / scale)

    @property
    def endless(self) -> NDArray[np.int8]:
        """(9,) on which side of its mean a tissue has no limit: fluids, away from parenchyma; 0 for the others."""
        sides = np.zeros(len(self.mean), np.int8)
        fluid = list(_FAMILIES["fluid"])
        sides[fluid] = np.sign(self.mean[fluid] - self.mean[[Tissue.WHITE, Tissue.CORTEX]].mean())
        return sides

    @property
    def anchor(self) -> tuple[float, float]:
        """(offset, scale) that bring parenchyma to mean 0 and spread 1: the robust normalisation."""
        tissue = [Tissue.WHITE, Tissue.CORTEX]
        offset = float(self.mean[tissue].mean())
        scale = float(np.sqrt((self.sd[tissue] ** 2).mean() + self.mean[tissue].var()))
        return offset, scale


@dataclass(frozen=True)
class TissueFit:
    """Result of `fit_tissues`.

    Attributes:
        intensities: per modality.
        posterior: (9, n) float32, of the intracranial tissues; their sum is the probability of being inside the skull.
    """

    intensities: Mapping[Modality, TissueIntensities]
    posterior: NDArray[np.float32]


def fit_tissues(
    scans: Mapping[Modality, NDArray[np.float32]],
    priors: NDArray[np.float32],
    *,
    skull: bool,
    iterations: int = 12,
) -> TissueFit:
    """Fit the mixture by expectation maximisation, all modalities together.

    Args:
        scans: modality → (n,) intensities, bias-free, aligned.
        priors: (11, n) probability of each `Tissue`; what is missing to 1 is air.
        skull: whether head and air are to be modelled; otherwise every voxel is inside the skull.
        iterations: of the mixture.
    """
    modalities = list(scans)
    x = np.stack([scans[m] for m in modalities]).astype(np.float64)  # (c, n)
    components = _BRAIN + (_HEAD if skull else ())
    air = np.clip(1 - priors.sum(0), 0, 1)
    prior = np.stack(
        [(air if c.tissue is None else priors[c.tissue]) * c.share for c in components]
    ).astype(np.float64)
    prior += 1e-6
    prior /= prior.sum(0)
    mean, var = _start(x, prior, components, [DARK_FLUID.get(m) for m in modalities])
    floor = (0.02 * (np.percentile(x, 98, axis=1) - np.percentile(x, 2, axis=1))) ** 2
    var = np.maximum(var, floor)
    for _ in range(iterations):
        post = _posterior(prior, _log_density(x, mean, var))
        new_mean, new_var, total = np.empty_like(mean), np.empty_like(var), np.empty_like(var)
        for c in range(len(modalities)):
            apart = (x[c] - mean[:, c : c + 1]) ** 2
            weight = post * (apart < CORE**2 * var[:, c : c + 1])
            total[:, c] = weight.sum(1) + 1e-9
            new_mean[:, c] = weight @ x[c] / total[:, c]
            new_var[:, c] = (weight * apart).sum(1) / total[:, c] / CORE_VARIANCE
        mean, var = new_mean, np.maximum(_held_together(new_mean, new_var, total), floor)
    log = _log_density(x, mean, var)
    post = _posterior(prior, np.maximum(log, log.max(0) - 60))
    n = len(_BRAIN)
    fitted = {
        m: TissueIntensities(mean[:n, c].copy(), np.sqrt(var[:n, c]))
        for c, m in enumerate(modalities)
    }
    return TissueFit(fitted, post[:n].astype(np.float32))


def _log_density(x: NDArray, mean: NDArray, var: NDArray) -> NDArray:
    """(k, n) log density without its constant, channels independent."""
    distance = sum(
        (x[c][None] - mean[:, c : c + 1]) ** 2 / var[:, c : c + 1] for c in range(len(x))
    )
    return -0.5 * (distance + np.log(var).sum(1)[:, None])


def _posterior(prior: NDArray, log: NDArray) -> NDArray:
    joint = np.log(prior) + log
    joint -= joint.max(0)
    post = np.exp(joint)
    post /= post.sum(0)
    return post


def _held_together(mean: NDArray, var: NDArray, total: NDArray) -> NDArray:
    """Variances drawn to their family's median; fluids also share one mean, since both are water (changes ``mean``)."""
    held = var.copy()
    for name, members in _FAMILIES.items():
        rows = list(members)
        middle = np.median(var[rows], axis=0)
        held[rows] = (1 - HELD[name]) * var[rows] + HELD[name] * middle
        if name == "fluid":
            mean[rows] = (mean[rows] * total[rows]).sum(0) / total[rows].sum(0)
            # Half-filled voxels at the edges would make the fluid's peak swallow everything: it ends half way to tissue.
            apart = np.abs(mean[rows] - mean[[Tissue.WHITE, Tissue.CORTEX]].mean(0))
            held[rows] = np.minimum(held[rows], (apart / 2) ** 2)
    return held


def _start(
    x: NDArray, prior: NDArray, components: tuple[Component, ...], dark_fluid: Sequence[bool | None]
) -> tuple[NDArray, NDArray]:
    """Weighted quantiles of each component's own region."""
    mean, var = np.zeros((len(components), len(x))), np.zeros((len(components), len(x)))
    for n, component in enumerate(components):
        weight = prior[n] ** 2  # the certain core of the region counts most
        for c in range(len(x)):
            order = np.argsort(x[c][weight > 0.01 * weight.max()])
            values, mass = (
                x[c][weight > 0.01 * weight.max()][order],
                weight[weight > 0.01 * weight.max()][order],
            )
            cumulated = np.cumsum(mass) / mass.sum()
            mean[n, c], low, high = np.interp([component.quantile, 0.25, 0.75], cumulated, values)
            var[n, c] = ((high - low) / 1.349 + 1e-9) ** 2
            if (
                component.tissue in _FAMILIES["fluid"]
            ):  # half of where fluid may be is tissue: start at the far end
                dark = (
                    mean[n, c] < mean[Tissue.WHITE, c] if dark_fluid[c] is None else dark_fluid[c]
                )
                far = 0.15 if dark else 0.85
                mean[n, c] = np.interp(far, cumulated, values)
                var[n, c] /= 4
    return mean, var
