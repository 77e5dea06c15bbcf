"""The slow path from outside: start the worker, hear its progress, stop it, say in plain words what became of it.

There is no Qt and no thread in here: whoever owns a `Job` calls `poll` a few times a second. The worker writes its messages to a
file of the scratch folder, so that nobody waits on a pipe.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import BrainSSLAnomalyError
from ..core.results import Detection, LookedAt
from ..core.settings import DetectionSettings, Device, SegmentationSettings, to_dict
from ..core.study import Study, Volume
from .explanation_request import read_answer, write_question
from .worker import CANCEL, OUT_OF_MEMORY, REQUEST, RESULTS, WATCHED, speaks_of_memory

MESSAGES, LOG = "messages.jsonl", "log.txt"
READ_BYTES, FLOOD_BYTES = 1 << 20, 64 << 20
GRACE_S, SILENCE_S, ASLEEP_S = 1.5, 60.0, 5.0
_SPARE_MEMORY = "close other programs, or give scans with fewer voxels, and start again"
_AGAIN = "start the detection again, and report it with the log if it happens twice"


class JobFailed(BrainSSLAnomalyError):
    """The worker did not bring results; the sentence says why and what to do."""


class Status(str, Enum):
    """Where a job stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class JobState:
    """What a panel shows of a job.

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


class Job:
    """One worker process and its scratch folder.

    Args:
        command: starts the worker; the scratch folder is added as last argument.
        scratch: folder with the request, removed by `close`.
        environment: of the process; that of this one when not given.
        silence_s: without a message for so long the worker counts as hanging.
        grace_s: so long after `cancel` the process tree is ended.
        clock: seconds, rising.
    """

    def __init__(
        self,
        command: Sequence[str],
        scratch: Path,
        environment: Mapping[str, str] | None = None,
        silence_s: float = SILENCE_S,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scratch = scratch
        self.state = JobState()
        self._command = [*command, os.fspath(scratch)]
        self._environment = environment
        self._silence_s, self._grace_s, self._clock = silence_s, grace_s, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._read, self._rest = 0, b""
        self._started = self._heard = self._polled = 0.0
        self._cancelled_at: float | None = None
        self._done_at: float | None = None
        self._failure: tuple[str, str] | None = None

    def start(self) -> None:
        """Start the process.

        Raises:
            JobFailed: it cannot be started; the scratch folder is gone then.
        """
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {
                "creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
            }
        try:
            (self.scratch / WATCHED).touch()
            with (
                (self.scratch / MESSAGES).open("wb") as messages,
                (self.scratch / LOG).open("wb") as log,
            ):
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=messages, stderr=log,
                    env=dict(self._environment) if self._environment is not None else None,
                    cwd=Path(__file__).resolve().parents[2], **apart,
                )  # fmt: skip
        except OSError as error:
            self.close()
            raise JobFailed(
                f"the worker could not be started ({error.strerror or error})", "run the self-check"
            ) from error
        self._started = self._heard = self._polled = self._clock()

    def poll(self) -> JobState:
        """Look for news; takes a few milliseconds and never waits. Once ended, always the same."""
        if self._process is None or self.state.status is not Status.RUNNING:
            return self.state
        try:
            (self.scratch / WATCHED).touch()
        except OSError:
            return self._end(
                Status.FAILED, f"The temporary folder of the worker has vanished: {_AGAIN}."
            )
        code = self._process.poll()
        self._listen(everything=code is not None)
        now = self._clock()
        if (
            now - self._polled > ASLEEP_S
        ):  # we, not the worker, were silent: the computer slept, or was busy
            self._heard += now - self._polled
        self._polled = now
        if code is not None:
            return self._ended(code)
        if self._cancelled_at is not None:
            return (
                self._end(Status.CANCELLED)
                if now - self._cancelled_at > self._grace_s
                else self.state
            )
        if self._done_at is not None and now - self._done_at > self._grace_s:
            return self._ended(0)
        if self._read > FLOOD_BYTES:
            return self._end(
                Status.FAILED, f"The worker wrote nonsense without end and was stopped: {_AGAIN}."
            )
        if now - self._heard > self._silence_s:
            return self._end(
                Status.FAILED,
                f"The worker gave no sign of life for {self._silence_s:.0f} s and was stopped: {_AGAIN}.",
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

    def wait(self, every_s: float = 0.1) -> JobState:
        """Poll until it has ended: for scripts."""
        while self.poll().status is Status.RUNNING:
            time.sleep(every_s)
        return self.state

    def detection(self) -> Detection:
        """What the worker wrote.

        Raises:
            JobFailed: the job did not succeed, or its results cannot be read.
        """
        from ..imageio import read_results

        if self.state.status is not Status.DONE:
            raise JobFailed(
                self.state.sentence.rstrip(".") or "there are no results",
                "start the detection again",
            )
        try:
            return read_results(self.scratch / RESULTS)[0]
        except BrainSSLAnomalyError as error:
            raise JobFailed(
                f"the worker's results cannot be used ({error.what})", _AGAIN
            ) from error

    def finding_map(self) -> NDArray[np.float32]:
        """The Grad-CAM of a finding, (k, j, i) float32, 0 to 1.

        Raises:
            JobFailed: the job did not succeed, or its result cannot be read.
        """
        if self.state.status is not Status.DONE:
            raise JobFailed(
                self.state.sentence.rstrip(".") or "there is no map", "choose the finding again"
            )
        try:
            return read_answer(self.scratch / RESULTS)
        except BrainSSLAnomalyError as error:
            raise JobFailed(error.what, error.next_step) from error

    @property
    def log(self) -> str:
        """The last 20,000 characters that the worker and its libraries printed."""
        try:
            with (self.scratch / LOG).open("rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 20_000))
                return stream.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def close(self) -> None:
        """End the process tree if it still runs, and remove the scratch folder. May be called twice."""
        if self.state.status is Status.RUNNING:
            self._end(Status.CANCELLED)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _listen(self, everything: bool) -> None:
        try:
            with (self.scratch / MESSAGES).open("rb") as stream:
                while True:
                    stream.seek(self._read)
                    block = stream.read(READ_BYTES)
                    self._read += len(block)
                    *lines, self._rest = (self._rest + block).split(b"\n")
                    self._rest = self._rest[-READ_BYTES:]
                    for line in lines:
                        self._hear(line)
                    if not everything or len(block) < READ_BYTES or self._read > FLOOD_BYTES:
                        break
        except OSError:
            return

    def _hear(self, line: bytes) -> None:
        """One message; what is none is no sign of life either."""
        try:
            message = json.loads(line)
            kind = message["message"]
            if kind == "progress":
                fraction = float(message["fraction"])
                if not math.isfinite(fraction):
                    return
                fraction = min(1.0, max(fraction, self.state.fraction))
                self.state = JobState(
                    stage=str(message["stage"])[:80],
                    fraction=fraction,
                    seconds_left=self._left(fraction),
                )
            elif kind == "done":
                self._done_at = self._clock()
            elif kind == "failed":
                self._failure = str(message["kind"]), str(message["sentence"])[:500]
            elif kind != "alive":
                return
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self._heard = self._clock()

    def _left(self, fraction: float) -> float | None:
        spent = self._clock() - self._started
        return spent * (1 - fraction) / fraction if fraction >= 0.05 and spent > 1 else None

    def _ended(self, code: int) -> JobState:
        if self._cancelled_at is not None:
            return self._end(Status.CANCELLED)
        if self._failure is not None:
            kind, sentence = self._failure
            return self._end(Status.CANCELLED if kind == "cancelled" else Status.FAILED, sentence)
        if code == 0 and self._done_at is not None and (self.scratch / RESULTS).is_dir():
            return self._end(Status.DONE)
        return self._end(Status.FAILED, self._epitaph(code))

    def _epitaph(self, code: int) -> str:
        if code == 0:
            return f"The worker ended without results: {_AGAIN}."
        if speaks_of_memory(self.log):
            return OUT_OF_MEMORY
        if code == -getattr(signal, "SIGKILL", 9):
            return f"The worker was ended from outside, most likely because memory ran out: {_SPARE_MEMORY}."
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"The worker ended unexpectedly ({how}): {_AGAIN}."

    def _end(self, status: Status, sentence: str = "") -> JobState:
        if self._process is not None:
            end_tree(self._process)
        self.state = JobState(
            status,
            self.state.stage,
            1.0 if status is Status.DONE else self.state.fraction,
            None,
            sentence,
        )
        return self.state


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process started by `Job.start` and everything that it started: a launcher hands no signal on to its child."""
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False
        )
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def new_scratch() -> Path:
    """An empty folder of our own with a short path.

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


def write_request(
    scratch: Path, study: Study, detection: DetectionSettings, segmentation: SegmentationSettings
) -> None:
    """The scans and the settings, as `worker.read_request` wants them.

    Raises:
        JobFailed: they cannot be written.
    """
    from ..imageio import write_text, write_volume

    try:
        scans = {}
        for modality, scan in study.scans.items():
            name = f"{modality.key}.nii"
            write_volume(scratch / name, scan.volume, np.float32)
            scans[modality.value] = {"file": name, "source": scan.source}
        request = {
            "scans": scans,
            "detection": to_dict(detection),
            "segmentation": to_dict(segmentation),
        }
        write_text(scratch / REQUEST, json.dumps(request, indent=1))
    except OSError as error:
        raise JobFailed(
            f"the scans cannot be handed over ({error.strerror or error})",
            "free some space and start again",
        ) from error


def start_detection(
    study: Study,
    detection: DetectionSettings,
    segmentation: SegmentationSettings,
    python: str = "",
    environment: Mapping[str, str] | None = None,
) -> Job:
    """A worker on a study.

    Args:
        study: what to detect in.
        detection, segmentation: the settings; the second make the first mask.
        python: the interpreter, ``PythonSlicer`` within Slicer; this one when not given.
        environment: of the process.

    Raises:
        JobFailed: it cannot be started.
    """
    return _start(
        lambda scratch: write_request(scratch, study, detection, segmentation), python, environment
    )


def start_explanation(
    looked_at: LookedAt,
    brain: Volume,
    asked: NDArray,
    device: Device = Device.AUTO,
    python: str = "",
    environment: Mapping[str, str] | None = None,
) -> Job:
    """A worker on the Grad-CAM of one finding.

    Args:
        looked_at: what the network looked at in the detection.
        brain: (k, j, i) bool on the grid of the reference.
        asked: (k, j, i) bool on that grid, the finding.
        device: where the network runs.
        python, environment: as for `start_detection`.

    Raises:
        JobFailed: it cannot be started.
    """

    def ask(scratch: Path) -> None:
        try:
            write_question(scratch, looked_at, brain, asked, device)
        except OSError as error:
            raise JobFailed(
                f"the finding cannot be handed over ({error.strerror or error})",
                "free some space and try again",
            ) from error

    return _start(ask, python, environment)


def _start(
    hand_over: Callable[[Path], None], python: str, environment: Mapping[str, str] | None
) -> Job:
    scratch = new_scratch()
    try:
        hand_over(scratch)
        job = Job(
            [python or sys.executable, "-m", "BrainSSLAnomalyLib.jobs.worker"], scratch, environment
        )
        job.start()
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return job
