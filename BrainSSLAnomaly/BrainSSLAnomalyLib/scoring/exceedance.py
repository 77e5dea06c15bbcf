"""Exceedance tables: how many ml of a healthy brain lie above each level of a score.

They turn a score into a calibrated anomaly score. ``python -m training.release.exceedance`` makes
the tables from healthy scans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.resources import read_json, resource
from ..core.settings import ScoreName
from ..core.study import Modality

RESOLUTION = 2048
"""Steps of the interpolated table."""

MIN_HEALTHY_ML = 1e-4
"""Smallest volume that counts."""

_CALIBRATED_AS = {"t1c": "t1", "pd": "t2"}
"""T1c is calibrated as T1 and PD as T2: their healthy tails have not been measured."""


@dataclass(frozen=True)
class ExceedanceTable:
    """Hold how unusual healthy brains get, for one score and one set of modalities.

    Attributes:
        levels: (n,) rising levels of the score.
        healthy_ml: (n,) volume of a healthy brain above each level, mean over scans without the
            most extreme tenth at either end.
        peaks: (scans,) for every healthy scan the level that 0.1 ml of it reach, rising.
        scans: number of healthy scans behind the table.
    """

    levels: NDArray[np.float64]
    healthy_ml: NDArray[np.float64]
    peaks: NDArray[np.float64]
    scans: int

    @property
    def highest(self) -> float:
        """Return the highest level that any healthy voxel exceeds: the table ends there."""
        return float(self.levels[np.flatnonzero(self.healthy_ml > 0)[-1]])

    def p_value(self, peak: float) -> float:
        """Return the conformal p-value of a scan.

        The share of healthy scans that are at least as unusual, the scan itself counted
        (Vovk et al., Algorithmic Learning in a Random World, Springer 2005).

        Args:
            peak: the level that 0.1 ml of the scan reach.
        """
        return float((1 + (self.peaks >= peak).sum()) / (1 + len(self.peaks)))

    def calibrate(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the anomaly score, 0–1.

        It is ``1 / (1 + V)``, where V is the volume in ml of a healthy brain that is at least as
        unusual: 0.5 means that 1 ml of a healthy brain score at least as high, 0.9 means 0.11 ml,
        0.99 means 0.01 ml. So it means the same on every scan and for every set of modalities.

        Args:
            values: any shape, of the score that the table is of.
        """
        low, high = self.levels[0], self.levels[-1]
        log_ml = np.log(np.maximum(self.healthy_ml, MIN_HEALTHY_ML))
        fine = np.interp(np.linspace(low, high, RESOLUTION), self.levels, log_ml)
        step = (high - low) / (RESOLUTION - 1)
        index = np.clip((values - low) / step, 0, RESOLUTION - 1).astype(np.int32)
        score: NDArray[np.float32] = (1 / (1 + np.exp(fine)))[index].astype(np.float32)
        return score


def table_key(modalities: Iterable[Modality]) -> str:
    """Return the name of a set of modalities in the file, e.g. ``flair+t1``."""
    return "+".join(sorted(m.key for m in modalities))


@lru_cache(maxsize=16)
def _read(score: ScoreName) -> dict[str, ExceedanceTable]:
    is_statistical = score is ScoreName.STATISTICAL
    place = ("Anatomy",) if is_statistical else ("Model", "configs")
    content = read_json(resource(*place, "exceedance.json"))
    content = content if is_statistical else content[score.value]
    levels = np.array(content["levels"])
    return {
        key: ExceedanceTable(
            levels, np.array(entry["healthy_ml"]), np.sort(entry["peaks"]), len(entry["peaks"])
        )
        for key, entry in content["tables"].items()
    }


def exceedance_table(
    modalities: Iterable[Modality], score: ScoreName = ScoreName.STATISTICAL
) -> ExceedanceTable:
    """Return the table of a set of modalities, or of the most similar set that was measured."""
    tables = _read(score)
    return tables[most_similar_key(modalities, tables)]


def most_similar_key(modalities: Iterable[Modality], known: Iterable[str]) -> str:
    """Return the most similar of some `table_key`."""
    keys = {_CALIBRATED_AS.get(m.key, m.key) for m in modalities}
    return max(known, key=lambda key: _similarity(set(key.split("+")), keys))


def _similarity(known: set[str], keys: set[str]) -> tuple[bool, float]:
    agree_on_flair = ("flair" in known) == ("flair" in keys)
    return agree_on_flair, len(known & keys) / len(known | keys)
