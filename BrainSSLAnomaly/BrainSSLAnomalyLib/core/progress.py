"""Progress of a slow job: callbacks, and the seconds of each stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

FractionCallback = Callable[[float], None]
"""Receives the fraction of one step that is done, 0 to 1; may raise to stop the step."""


class Progress(Protocol):
    """Receive every step of a slow job."""

    def __call__(self, stage: str, fraction: float) -> None:
        """Report the stage and the fraction done.

        Args:
            stage: what is being done, in words, e.g. ``Registering to the template``.
            fraction: of the whole job, 0 to 1, never falling.

        Raises:
            Cancelled: the user wants to stop; everything lets it through.
        """


def ignore_progress(stage: str, fraction: float) -> None:
    """Do nothing: the default of every ``progress`` argument."""


def ignore_fraction(fraction: float) -> None:
    """Do nothing: the default where only a fraction is reported."""


class StageClock:
    """Announce stages to a progress callback and measure the seconds of each.

    Args:
        progress: receives each stage as it begins.
        shares: stage → expected share of the whole, in order; normalised to sum to 1.
    """

    def __init__(self, progress: Progress, shares: Mapping[str, float]) -> None:
        self._progress = progress
        self._shares = shares
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count everything within the block as one stage."""
        names = list(self._shares)
        before = sum(self._shares[n] for n in names[: names.index(name)])
        self._progress(name, before / sum(self._shares.values()))
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
