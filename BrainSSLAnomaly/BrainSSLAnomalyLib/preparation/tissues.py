"""The intensity of each tissue in this patient: a Gaussian mixture with atlas priors.

Histogram modes fail on bimodal scans, because a peak does not say which tissue it is. Here every
voxel has a prior from the anatomy. Voxels that fit no tissue (lesions) are left out of the estimate
(Van Leemput et al., IEEE TMI 20 (2001) 677–688).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.anatomy import Tissue
from ..core.study import Modality

CORE = 2.0
"""Variances are estimated from the voxels within this many SD of a tissue's mean, in every
modality; lesions lie beyond."""

CORE_VARIANCE = 0.7737
"""Variance of a standard normal distribution truncated at ±`CORE`."""

DARK_FLUID: Mapping[Modality, bool] = {
    Modality.T1: True,
    Modality.T1C: True,
    Modality.FLAIR: True,
    Modality.T2: False,
}
"""Whether fluid is darker than white matter. For other contrasts it is estimated from the scan,
which
a tight stripping mask can mislead: it leaves partial volume where the anatomy expects fluid."""

HEAD_FIT_VOXELS = 40_000
"""A whole head is fitted on about so many voxels, evenly spread: enough for a brain mask. The
tissues inside it are fitted on all, since z-scores are in units of their SD."""

SHRINKAGE = {"parenchyma": 0.5, "fluid": 1.0}
"""Weight of the family's median in the variance of each tissue: tissues differ in mean far more
than in variance."""

_FAMILIES = {
    "parenchyma": tuple(
        t for t in Tissue if t.intracranial and t not in (Tissue.VENTRICLE, Tissue.CSF)
    ),
    "fluid": (Tissue.VENTRICLE, Tissue.CSF),
}


@dataclass(frozen=True)
class Component:
    """Describe one Gaussian: a tissue may need two (scalp is fat and skin).

    Attributes:
        tissue: None is air.
        share: of the tissue.
        start_quantile: of the tissue's intensities, where its mean starts.
    """

    tissue: Tissue | None
    share: float
    start_quantile: float


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
    """Hold mean and SD of every intracranial tissue in one scan, in that scan's own units.

    Attributes:
        mean, sd: shape (9,), in the order of `Tissue`.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def scaled(self, offset: float, scale: float) -> TissueIntensities:
        """Return the intensities after ``(x − offset) / scale``."""
        return TissueIntensities((self.mean - offset) / scale, self.sd / scale)

    @property
    def unbounded_side(self) -> NDArray[np.int8]:
        """Return on which side of its mean a tissue has no limit, shape (9,).

        −1 or +1 for fluids, away from parenchyma; 0 for the others.
        """
        sides = np.zeros(len(self.mean), np.int8)
        fluid = list(_FAMILIES["fluid"])
        sides[fluid] = np.sign(self.mean[fluid] - self.mean[[Tissue.WHITE, Tissue.CORTEX]].mean())
        return sides

    @property
    def normalisation(self) -> tuple[float, float]:
        """Return the (offset, scale) that bring parenchyma to mean 0 and SD 1."""
        tissue = [Tissue.WHITE, Tissue.CORTEX]
        offset = float(self.mean[tissue].mean())
        scale = float(np.sqrt((self.sd[tissue] ** 2).mean() + self.mean[tissue].var()))
        return offset, scale


@dataclass(frozen=True)
class TissueFit:
    """Hold the result of `fit_tissues`.

    Attributes:
        intensities: per modality.
        posterior: (9, n) float32, of the intracranial tissues; their sum is the probability of
            being inside the skull.
    """

    intensities: Mapping[Modality, TissueIntensities]
    posterior: NDArray[np.float32]


def fit_tissues(
    scans: Mapping[Modality, NDArray[np.float32]],
    priors: NDArray[np.float32],
    *,
    with_skull: bool,
    iterations: int = 12,
) -> TissueFit:
    """Fit the mixture to all modalities together, by expectation maximisation.

    Args:
        scans: modality → (n,) intensities, bias-free, aligned.
        priors: (11, n) probability of each `Tissue`; what is missing to 1 is air.
        with_skull: model head and air too; otherwise every voxel is inside the skull.
        iterations: of expectation maximisation.
    """
    modalities = list(scans)
    everything = np.stack([scans[m] for m in modalities]).astype(np.float32)  # (c, n)
    components = _BRAIN + (_HEAD if with_skull else ())
    step = max(1, everything.shape[1] // HEAD_FIT_VOXELS) if with_skull else 1
    x = everything[:, ::step].astype(np.float64)
    prior = _component_priors(priors[:, ::step], components, np.float64)
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
        mean, var = new_mean, np.maximum(_shrink_variances(new_mean, new_var, total), floor)
    log = _log_density(everything, mean.astype(np.float32), var.astype(np.float32))
    np.maximum(log, log.max(0) - 60, out=log)
    post = _posterior(_component_priors(priors, components, np.float32), log)
    n = len(_BRAIN)
    fitted = {
        m: TissueIntensities(mean[:n, c].copy(), np.sqrt(var[:n, c]))
        for c, m in enumerate(modalities)
    }
    return TissueFit(fitted, post[:n])


def _component_priors(
    priors: NDArray[np.float32], components: tuple[Component, ...], dtype: DTypeLike
) -> NDArray:
    """Return the (k, n) probability of each component, summing to 1."""
    air = np.clip(1 - priors.sum(0), 0, 1)
    prior: NDArray = np.empty((len(components), priors.shape[1]), dtype)
    for row, c in zip(prior, components, strict=True):
        row[:] = (air if c.tissue is None else priors[c.tissue]) * c.share
    prior += 1e-6
    prior /= prior.sum(0)
    return prior


def _log_density(x: NDArray, mean: NDArray, var: NDArray) -> NDArray:
    """Return the (k, n) log density without its constant, channels independent."""
    distance = sum(
        (x[c][None] - mean[:, c : c + 1]) ** 2 / var[:, c : c + 1] for c in range(len(x))
    )
    density: NDArray = -0.5 * (distance + np.log(var).sum(1)[:, None])
    return density


def _posterior(prior: NDArray, log: NDArray) -> NDArray:
    joint = np.log(prior) + log
    joint -= joint.max(0)
    post: NDArray = np.exp(joint)
    post /= post.sum(0)
    return post


def _shrink_variances(mean: NDArray, var: NDArray, total: NDArray) -> NDArray:
    """Return variances shrunk to their family's median.

    Fluids also get one mean, since both are water: this changes ``mean``.
    """
    shrunk: NDArray = var.copy()
    for name, members in _FAMILIES.items():
        rows = list(members)
        middle = np.median(var[rows], axis=0)
        shrunk[rows] = (1 - SHRINKAGE[name]) * var[rows] + SHRINKAGE[name] * middle
        if name == "fluid":
            mean[rows] = (mean[rows] * total[rows]).sum(0) / total[rows].sum(0)
            # Partial volume would widen the fluid's peak over everything: it ends half way.
            apart = np.abs(mean[rows] - mean[[Tissue.WHITE, Tissue.CORTEX]].mean(0))
            shrunk[rows] = np.minimum(shrunk[rows], (apart / 2) ** 2)
    return shrunk


def _start(
    x: NDArray, prior: NDArray, components: tuple[Component, ...], dark_fluid: Sequence[bool | None]
) -> tuple[NDArray, NDArray]:
    """Return the weighted quantiles of each component's own region as first means and variances."""
    mean, var = np.zeros((len(components), len(x))), np.zeros((len(components), len(x)))
    for n, component in enumerate(components):
        weight = prior[n] ** 2  # the certain core of the region counts most
        for c in range(len(x)):
            certain = weight > 0.01 * weight.max()
            values, mass = x[c][certain], weight[certain]
            order = np.argsort(values)
            values, mass = values[order], mass[order]
            cumulated = np.cumsum(mass) / mass.sum()
            quantiles = [component.start_quantile, 0.25, 0.75]
            mean[n, c], low, high = np.interp(quantiles, cumulated, values)
            var[n, c] = ((high - low) / 1.349 + 1e-9) ** 2
            if component.tissue in _FAMILIES["fluid"]:
                # Half of where fluid may be is tissue: start at the far end.
                is_dark = dark_fluid[c]
                if is_dark is None:
                    is_dark = mean[n, c] < mean[Tissue.WHITE, c]
                mean[n, c] = np.interp(0.15 if is_dark else 0.85, cumulated, values)
                var[n, c] /= 4
    return mean, var
