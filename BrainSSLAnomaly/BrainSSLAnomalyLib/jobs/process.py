"""The process of a worker, behind a protocol that tests can replace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

END_SECONDS = 5.0
"""Longest wait for a process that was killed."""


class WorkerProcess(Protocol):
    """A process that can be polled and ended."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""

    def end(self) -> None:
        """End the process and everything that it started."""


class ProcessStarter(Protocol):
    """Start worker processes."""

    def __call__(self, command: Sequence[str], messages: Path, log: Path) -> WorkerProcess:
        """Start a process.

        Args:
            command: program and arguments.
            messages: file for its standard output.
            log: file for its standard error.

        Raises:
            OSError: it cannot be started.
        """


class SubprocessStarter:
    """Start worker processes of this computer.

    Args:
        environment: of the processes; that of this one if None.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment

    def __call__(self, command: Sequence[str], messages: Path, log: Path) -> WorkerProcess:
        """Start a process; see `ProcessStarter`."""
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            options = {"creationflags": flags}
        with messages.open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=dict(self._environment) if self._environment is not None else None,
                cwd=Path(__file__).resolve().parents[2],
                **options,
            )
        return LocalProcess(process)


class LocalProcess:
    """A process of this computer, in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._process.poll()

    def end(self) -> None:
        """End the process tree: a launcher does not pass a signal on to its child."""
        if sys.platform == "win32":
            command = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(command, capture_output=True, check=False)
        else:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
