"""A job: the slow path in a process of its own, followed from outside.

There is no Qt and no thread here: whoever owns a `Job` calls `poll` a few times a second. The
worker writes its messages to a file of the scratch folder, so that nobody waits for a pipe.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..core.errors import BrainSSLAnomalyError
from .failure import START_AGAIN, JobFailed, explain_exit
from .messages import CANCEL, LOG, MESSAGES, RESULTS, WATCHED, MessageReader
from .process import ProcessStarter, SubprocessStarter, WorkerProcess

T = TypeVar("T")

GRACE_SECONDS = 1.5
"""This long after `Job.cancel` the process tree is ended."""

SILENCE_SECONDS = 60.0
"""A worker without a message for this long is taken to hang."""

ASLEEP_SECONDS = 5.0
"""After a longer pause between two polls it was this process that slept, not the worker."""

LOG_BYTES = 20_000


class Status(str, Enum):
    """Name the state of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class JobState:
    """Hold what a panel shows of a job.

    Attributes:
        status: running, or how it ended.
        stage: what is being done, in words.
        fraction: of the whole, 0 to 1, never falling.
        seconds_left: an estimate, or None while there is none.
        sentence: why it failed and what to do; empty otherwise.
    """

    status: Status = Status.RUNNING
    stage: str = "Starting"
    fraction: float = 0.0
    seconds_left: float | None = None
    sentence: str = ""


class Job(Generic[T]):
    """Follow one worker process and its scratch folder.

    Args:
        command: starts the worker; the scratch folder is added as last argument.
        scratch: folder with the request, removed by `close`.
        read_result: returns the result from the folder that the worker has written.
        starter: starts the process.
        silence_seconds: a worker without a message for this long is taken to hang.
        grace_seconds: this long after `cancel` the process tree is ended.
        clock: seconds, rising.
    """

    def __init__(
        self,
        command: Sequence[str],
        scratch: Path,
        read_result: Callable[[Path], T],
        *,
        starter: ProcessStarter | None = None,
        silence_seconds: float = SILENCE_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scratch = scratch
        self.state = JobState()
        self._command = [*command, os.fspath(scratch)]
        self._read_result = read_result
        self._starter = starter or SubprocessStarter()
        self._silence, self._grace, self._clock = silence_seconds, grace_seconds, clock
        self._process: WorkerProcess | None = None
        self._messages = MessageReader(scratch / MESSAGES)
        self._started_at = self._last_message_at = self._last_poll_at = 0.0
        self._cancelled_at: float | None = None
        self._done_at: float | None = None
        self._failure: tuple[str, str] | None = None

    def start(self) -> None:
        """Start the process.

        Raises:
            JobFailed: it cannot be started; the scratch folder is removed.
        """
        try:
            (self.scratch / WATCHED).touch()
            messages, log = self.scratch / MESSAGES, self.scratch / LOG
            self._process = self._starter(self._command, messages, log)
        except OSError as error:
            self.close()
            raise JobFailed(
                f"the worker could not be started ({error.strerror or error})",
                "run the setup check",
            ) from error
        self._started_at = self._last_message_at = self._last_poll_at = self._clock()

    def poll(self) -> JobState:
        """Return the state now; takes a few milliseconds. Once ended, always the same."""
        if self._process is None or self.state.status is not Status.RUNNING:
            return self.state
        try:
            (self.scratch / WATCHED).touch()
        except OSError:
            sentence = f"The temporary folder of the worker has vanished: {START_AGAIN}."
            return self._end(Status.FAILED, sentence)
        code = self._process.poll()
        for message in self._messages.read(to_end=code is not None):
            self._receive(message)
        now = self._clock()
        if now - self._last_poll_at > ASLEEP_SECONDS:
            self._last_message_at += now - self._last_poll_at
        self._last_poll_at = now
        if code is not None:
            return self._conclude(code)
        if self._cancelled_at is not None:
            is_over = now - self._cancelled_at > self._grace
            return self._end(Status.CANCELLED) if is_over else self.state
        if self._done_at is not None and now - self._done_at > self._grace:
            return self._conclude(0)
        if self._messages.is_flooded:
            sentence = f"The worker wrote nonsense without end and was stopped: {START_AGAIN}."
            return self._end(Status.FAILED, sentence)
        if now - self._last_message_at > self._silence:
            return self._end(
                Status.FAILED,
                f"The worker gave no sign of life for {self._silence:.0f} s and was stopped: "
                f"{START_AGAIN}.",
            )
        return self.state

    def cancel(self) -> None:
        """Ask the worker to stop; `poll` ends the process tree after the grace period."""
        if self.state.status is Status.RUNNING and self._cancelled_at is None:
            self._cancelled_at = self._clock()
            try:
                (self.scratch / CANCEL).touch()
            except OSError:
                self._end(Status.CANCELLED)

    def wait(self, every: float = 0.1) -> JobState:
        """Poll until the job has ended, for scripts; ``every`` in seconds."""
        while self.poll().status is Status.RUNNING:
            time.sleep(every)
        return self.state

    def result(self) -> T:
        """Return what the worker wrote.

        Raises:
            JobFailed: the job did not succeed, or its result cannot be read.
        """
        if self.state.status is not Status.DONE:
            raise JobFailed(self.state.sentence.rstrip(".") or "there is no result", "start again")
        try:
            return self._read_result(self.scratch / RESULTS)
        except BrainSSLAnomalyError as error:
            raise JobFailed(
                f"the result of the worker cannot be used ({error.what})", START_AGAIN
            ) from error

    @property
    def log(self) -> str:
        """Return the end of what the worker and its libraries printed."""
        try:
            with (self.scratch / LOG).open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - LOG_BYTES))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def close(self) -> None:
        """End the process if it still runs, and remove the scratch folder; may be called twice."""
        if self.state.status is Status.RUNNING:
            self._end(Status.CANCELLED)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _receive(self, message: Mapping[str, Any]) -> None:
        """Take in one message; one that is not understood is no sign of life."""
        try:
            kind = message["message"]
            if kind == "progress":
                fraction = float(message["fraction"])
                if not math.isfinite(fraction):
                    return
                fraction = min(1.0, max(fraction, self.state.fraction))
                stage = str(message["stage"])[:80]
                left = self._seconds_left(fraction)
                self.state = JobState(stage=stage, fraction=fraction, seconds_left=left)
            elif kind == "done":
                self._done_at = self._clock()
            elif kind == "failed":
                self._failure = str(message["kind"]), str(message["sentence"])[:500]
            elif kind != "alive":
                return
        except (ValueError, KeyError, TypeError):
            return
        self._last_message_at = self._clock()

    def _seconds_left(self, fraction: float) -> float | None:
        spent = self._clock() - self._started_at
        return spent * (1 - fraction) / fraction if fraction >= 0.05 and spent > 1 else None

    def _conclude(self, code: int) -> JobState:
        """Return the last state of a worker that has ended."""
        if self._cancelled_at is not None:
            return self._end(Status.CANCELLED)
        if self._failure is not None:
            kind, sentence = self._failure
            return self._end(Status.CANCELLED if kind == "cancelled" else Status.FAILED, sentence)
        if code == 0 and self._done_at is not None and (self.scratch / RESULTS).is_dir():
            return self._end(Status.DONE)
        return self._end(Status.FAILED, explain_exit(code, self.log))

    def _end(self, status: Status, sentence: str = "") -> JobState:
        if self._process is not None:
            self._process.end()
        fraction = 1.0 if status is Status.DONE else self.state.fraction
        self.state = JobState(status, self.state.stage, fraction, None, sentence)
        return self.state


def new_scratch() -> Path:
    """Make an empty folder of our own with a short path.

    Raises:
        JobFailed: no temporary folder can be written to.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="bssla-"))
    except OSError as error:
        raise JobFailed(
            f"no temporary folder can be made ({error.strerror or error})",
            "free some space and start again",
        ) from error
