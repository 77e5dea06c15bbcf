"""How unusual healthy brains get: the shipped table that turns a deviation into a calibrated score.

``python -m training.build_healthy_table`` makes it from healthy scans.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.resources import resource
from ..core.settings import ScoreName
from ..core.study import Modality


@dataclass(frozen=True)
class HealthyTable:
    """For one set of modalities.

    Attributes:
        levels: (n,) rising deviations, in SD.
        healthy_ml: (n,) volume of a healthy brain above each level, mean over scans without the most extreme tenth at either end.
        peaks: (subjects,) for every healthy scan the deviation that 0.1 ml of it exceeds, rising.
        scans: how many healthy scans it was learned from.
    """

    levels: NDArray[np.float64]
    healthy_ml: NDArray[np.float64]
    peaks: NDArray[np.float64]
    scans: int

    @property
    def highest(self) -> float:
        """The highest level above which healthy brains were seen at all: beyond it the table tells nothing apart."""
        return float(self.levels[np.flatnonzero(self.healthy_ml > 0)[-1]])

    def p_value(self, peak: float) -> float:
        """Conformal p-value of a scan: the share of healthy scans at least as unusual, itself counted in.

        Vovk et al., Algorithmic Learning in a Random World, Springer 2005.
        """
        return float((1 + (self.peaks >= peak).sum()) / (1 + len(self.peaks)))


def table_key(modalities: Iterable[Modality]) -> str:
    """Name of a set of modalities in the file, e.g. ``flair+t1``."""
    return "+".join(sorted(m.key for m in modalities))


@lru_cache(maxsize=16)
def _read(score: ScoreName) -> dict[str, HealthyTable]:
    place = (
        ("Anatomy", "healthy.json")
        if score is ScoreName.STATISTICAL
        else ("Model", "configs", "healthy.json")
    )
    content = json.loads(resource(*place).read_text(encoding="utf-8"))
    content = content if score is ScoreName.STATISTICAL else content[score.value]
    levels = np.array(content["levels"])
    return {
        key: HealthyTable(
            levels, np.array(entry["healthy_ml"]), np.sort(entry["peaks"]), len(entry["peaks"])
        )
        for key, entry in content["tables"].items()
    }


def healthy_table(
    modalities: Iterable[Modality], score: ScoreName = ScoreName.STATISTICAL
) -> HealthyTable:
    """The table of this set of modalities, or of the most similar set that was measured."""
    tables = _read(score)
    return tables[closest(modalities, tables)]


def closest(modalities: Iterable[Modality], known: Iterable[str]) -> str:
    """The most similar of some `table_key`."""
    wanted = {m.key for m in modalities}
    # T1c is calibrated as T1 and PD as T2: their healthy tails have not been measured.
    wanted = {{"t1c": "t1", "pd": "t2"}.get(k, k) for k in wanted}
    return max(known, key=lambda key: _similarity(set(key.split("+")), wanted))


def _similarity(known: set[str], wanted: set[str]) -> tuple[bool, float]:
    return "flair" in known & wanted or "flair" not in known | wanted, len(known & wanted) / len(
        known | wanted
    )
