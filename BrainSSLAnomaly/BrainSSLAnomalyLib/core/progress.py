"""How a slow step tells its caller where it is, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Called at every step of a slow job.

    Args:
        stage: what is being done, in words, e.g. ``Registering to the template``.
        fraction: of the whole job, 0 to 1, never falling.

    Raises:
        Cancelled: when the user wants to stop; every room lets it through.
    """

    def __call__(self, stage: str, fraction: float) -> None: ...


def silent(stage: str, fraction: float) -> None:
    """A progress callback that does nothing."""


class StageClock:
    """Announces stages to a progress callback and keeps the seconds of each.

    Args:
        progress: told each stage as it begins.
        shares: stage → expected share of the whole, in order; shares are normalised to sum to 1.
    """

    def __init__(self, progress: Progress, shares: dict[str, float]) -> None:
        self._progress = progress
        self._shares = shares
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Everything within counts as this stage."""
        names = list(self._shares)
        before = sum(self._shares[n] for n in names[: names.index(name)])
        self._progress(name, before / sum(self._shares.values()))
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
