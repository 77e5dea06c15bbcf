"""Progress of a slow job: callbacks, and the seconds of each stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

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


class StageTime(NamedTuple):
    """Hold what a stage has taken.

    Attributes:
        seconds: that have passed.
        cpu_seconds: of the processor, all threads together.
    """

    seconds: float
    cpu_seconds: float


class StageClock:
    """Announce stages to a progress callback, and measure the time of each.

    A stage within another one interrupts it: no second counts twice.

    Args:
        progress: receives each stage as it begins.
        shares: stage → expected share of the whole, in order; normalised to sum to 1. None where
            nobody shows the progress.
    """

    def __init__(
        self, progress: Progress = ignore_progress, shares: Mapping[str, float] | None = None
    ) -> None:
        self._progress = progress
        self._shares = shares or {}
        self._running: list[str] = []
        self._since = (0.0, 0.0)
        self.times: dict[str, StageTime] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count everything within the block as one stage, except the stages within it."""
        if self._shares:
            names = list(self._shares)
            before = sum(self._shares[n] for n in names[: names.index(name)])
            self._progress(name, before / sum(self._shares.values()))
        self._count()
        self._running.append(name)
        try:
            yield
        finally:
            self._count()
            self._running.pop()

    def _count(self) -> None:
        """Add the time since the last change to the stage that is running."""
        now = (time.perf_counter(), time.process_time())
        if self._running:
            name = self._running[-1]
            known = self.times.get(name, StageTime(0.0, 0.0))
            wall, cpu = (n - s for n, s in zip(now, self._since, strict=True))
            self.times[name] = StageTime(known.seconds + wall, known.cpu_seconds + cpu)
        self._since = now
