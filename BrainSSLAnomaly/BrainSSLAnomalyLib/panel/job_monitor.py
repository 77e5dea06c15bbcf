"""Polling of a worker job by a timer of Qt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import qt
import slicer

INTERVAL_MS = 200


def slicer_python() -> str:
    """Return Slicer's interpreter without its windows; empty where there is none (tests)."""
    return shutil.which("PythonSlicer") or ""


def worker_environment() -> dict[str, str] | None:
    """Return the environment that Slicer was started with: its launcher adds the rest again."""
    return dict(slicer.util.startupEnvironment()) if slicer_python() else None


class JobMonitor:
    """Poll one job at a time until it ends; the job is closed in the end.

    Args:
        on_running: receives job and state at every poll.
    """

    def __init__(self, on_running: Callable[[Any, Any], None] | None = None) -> None:
        self._on_running = on_running
        self._on_ended: Callable[[Any, Any], None] | None = None
        self.job: Any = None
        self._timer = qt.QTimer()
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def is_running(self) -> bool:
        """Return whether there is a job."""
        return self.job is not None

    def follow(self, job: Any, on_ended: Callable[[Any, Any], None]) -> None:
        """Poll a started job; one that was followed before is stopped.

        Args:
            job: a started `Job`.
            on_ended: receives job and state once, before the job is closed.
        """
        self.stop()
        self.job, self._on_ended = job, on_ended
        self._timer.start()

    def stop(self) -> None:
        """End the job at once, without a call of ``on_ended``."""
        self._timer.stop()
        job, self.job, self._on_ended = self.job, None, None
        if job is not None:
            job.close()

    def _poll(self) -> None:
        state = self.job.poll()
        if self._on_running is not None:
            self._on_running(self.job, state)
        if state.status.value == "running":
            return
        self._timer.stop()
        job, on_ended = self.job, self._on_ended
        try:
            if on_ended is not None:
                on_ended(job, state)
        finally:
            if self.job is job:
                self.stop()
            else:
                job.close()
