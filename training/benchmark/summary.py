"""Figures of groups of patients.

They are means with bootstrap intervals, false positives of healthy people, and the AUROC of scans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from .lesionwise import LesionWise, pool_counts
from .measures import Measured

RESAMPLES, SEED, LEVEL = 9999, 0, 0.95
FEWEST = 3
"""Number of patients below which no interval is given."""

ALL_PATIENTS, ALL_HEALTHY = "all patients", "all healthy"


@dataclass(frozen=True)
class Group:
    """One group with one set of modalities and one detector. NaN where there is nothing to average.

    Attributes:
        group: its name.
        contrasts: the set of modalities.
        detector: its name.
        n: number of patients.
        dice: mean at the default thresholds.
        dice_interval: of that mean; None below `FEWEST` patients.
        best_dice: mean of the best cuts.
        average_precision: mean.
        sensitivity: lesion-wise mean over the patients that have it.
        precision: lesion-wise mean over the patients that have it.
        f1: lesion-wise mean over the patients that have it.
        small: lesion-wise counts of all patients together.
        large: lesion-wise counts of all patients together.
        false_positive_ml: median of what is marked in healthy people.
    """

    group: str
    contrasts: str
    detector: str
    n: int
    dice: float
    dice_interval: tuple[float, float] | None
    best_dice: float
    average_precision: float
    sensitivity: float
    precision: float
    f1: float
    small: LesionWise
    large: LesionWise
    false_positive_ml: float


@dataclass(frozen=True)
class ScanLevel:
    """How well the scan score separates patients from healthy people.

    Attributes:
        contrasts: the set of modalities.
        detector: its name.
        patients: how many.
        healthy: how many.
        auroc: NaN where either is missing.
    """

    contrasts: str
    detector: str
    patients: int
    healthy: int
    auroc: float


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of the mean, or None below `FEWEST` patients."""
    if len(values) < FEWEST:
        return None
    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def auroc(patients: Sequence[float], healthy: Sequence[float]) -> float:
    """Return the probability that a patient scores above a healthy person.

    Ties count half. It is NaN where either is missing.
    """
    if not patients or not healthy:
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([1] * len(patients) + [0] * len(healthy), [*patients, *healthy]))


def summarise_groups(rows: Sequence[Measured]) -> list[Group]:
    """Summarise every group with every set of modalities and detector, and the groups together.

    They are in the order of the rows.
    """
    found = []
    for contrasts in _unique(m.contrasts for m in rows):
        here = [m for m in rows if m.contrasts == contrasts]
        for name, members in _groups(here):
            found += [_group(name, of) for of in _by_detector(members)]
    return found


def summarise_scans(rows: Sequence[Measured]) -> list[ScanLevel]:
    """Compare all patients with all healthy people scanned with the same modalities."""
    found = []
    for contrasts in _unique(m.contrasts for m in rows):
        for of in _by_detector([m for m in rows if m.contrasts == contrasts]):
            patients, healthy = (
                [m.scan_score for m in of if m.healthy is well] for well in (False, True)
            )
            found.append(
                ScanLevel(
                    contrasts, of[0].detector, len(patients), len(healthy), auroc(patients, healthy)
                )
            )
    return found


def _group(name: str, rows: Sequence[Measured]) -> Group:
    """Summarise rows of one detector and one set of modalities."""
    dice = [m.dice for m in rows if not m.healthy]
    healthy = [m.found_ml for m in rows if m.healthy]
    all_lesions = [m.lesionwise["all"] for m in rows if not m.healthy]
    return Group(
        group=name,
        contrasts=rows[0].contrasts,
        detector=rows[0].detector,
        n=len(rows),
        dice=_mean(dice),
        dice_interval=bootstrap_interval(dice),
        best_dice=_mean(m.best_dice for m in rows),
        average_precision=_mean(m.average_precision for m in rows),
        sensitivity=_mean(w.sensitivity for w in all_lesions),
        precision=_mean(w.precision for w in all_lesions),
        f1=_mean(w.f1 for w in all_lesions),
        small=pool_counts(m.lesionwise["small"] for m in rows),
        large=pool_counts(m.lesionwise["large"] for m in rows),
        false_positive_ml=float(np.median(healthy)) if healthy else float("nan"),
    )


def _groups(rows: Sequence[Measured]) -> Iterator[tuple[str, list[Measured]]]:
    """Yield patients and then healthy people.

    Each group is yielded, and all together where there are several.
    """
    for together, well in ((ALL_PATIENTS, False), (ALL_HEALTHY, True)):
        members = [m for m in rows if m.healthy is well]
        names = _unique(m.group for m in members)
        yield from ((name, [m for m in members if m.group == name]) for name in names)
        if len(names) > 1:
            yield together, members


def _by_detector(rows: Sequence[Measured]) -> Iterator[list[Measured]]:
    for name in _unique(m.detector for m in rows):
        yield [m for m in rows if m.detector == name]


def _unique(names: Iterable[str]) -> list[str]:
    """Return each name once, in order."""
    return list(dict.fromkeys(names))


def _mean(values: Iterable[float]) -> float:
    """Of those that are numbers."""
    some = [v for v in values if not np.isnan(v)]
    return float(np.mean(some)) if some else float("nan")
