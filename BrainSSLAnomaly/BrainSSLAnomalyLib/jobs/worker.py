"""The worker: ``python -m BrainSSLAnomalyLib.jobs.worker SCRATCH``.

It runs the request in the scratch folder (`messages`). A file ``cancel`` in the folder stops it: at
the next step, or a second later wherever it is. So does the end of its owner: when nobody has
polled (touched ``watched``) for ten minutes, or the folder is gone.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path

from ..core.errors import Cancelled
from .detection_request import run_detection
from .explanation_request import EXPLANATION_REQUEST, run_explanation
from .failure import explain_error
from .messages import (
    CANCEL,
    EXIT_BROKEN,
    EXIT_CANCELLED,
    EXIT_REFUSED,
    RESULTS,
    WATCHED,
    MessageWriter,
)

BEAT_SECONDS = 0.2
STOP_SECONDS = 1.0
"""This long after a request to stop the process ends wherever it is."""

UNWATCHED_SECONDS = 600.0
UNWATCHED_BEATS = 25
"""A worker ends when it was found unwatched so often: after sleep its owner needs a moment."""


class Watch:
    """Watch for the cancel file beside the work, and report that the worker lives.

    Args:
        scratch: the folder.
        messages: where to report.
    """

    def __init__(self, scratch: Path, messages: MessageWriter) -> None:
        self._scratch = scratch
        self._messages = messages
        self._stop = threading.Event()

    def start(self) -> None:
        """Watch in a thread, until the process ends."""
        threading.Thread(target=self._run, daemon=True).start()

    def progress(self, stage: str, fraction: float) -> None:
        """Report progress; a `Progress` callback.

        Raises:
            Cancelled: the work is to stop.
        """
        if self._stop.is_set() or self._is_cancelled():
            raise Cancelled
        self._messages.write("progress", stage=stage, fraction=round(float(fraction), 4))

    def _is_cancelled(self) -> bool:
        return (self._scratch / CANCEL).exists() or not self._scratch.exists()

    def _is_unwatched(self) -> bool:
        try:
            return time.time() - (self._scratch / WATCHED).stat().st_mtime > UNWATCHED_SECONDS
        except OSError:
            return True

    def _run(self) -> None:
        beats = unwatched = 0
        while not self._is_cancelled() and unwatched < UNWATCHED_BEATS:
            unwatched = unwatched + 1 if self._is_unwatched() else 0
            if beats % round(1 / BEAT_SECONDS) == 0:
                try:
                    self._messages.write("alive")
                except OSError:
                    break
            beats += 1
            time.sleep(BEAT_SECONDS)
        self._stop.set()
        if unwatched:  # the owner is gone, and will not clean up
            shutil.rmtree(self._scratch, ignore_errors=True)
        time.sleep(STOP_SECONDS)
        # The work is inside a library that cannot be interrupted; what is unfinished lies in the
        # scratch folder.
        os._exit(EXIT_CANCELLED)


def run(scratch: Path, messages: MessageWriter, watch: Watch) -> None:
    """Run the request of a scratch folder.

    Raises:
        BrainSSLAnomalyError: the request or a scan cannot be used; `Cancelled` when stopped.
    """
    watch.progress("Starting", 0.0)
    is_explanation = (scratch / EXPLANATION_REQUEST).exists()
    task = run_explanation if is_explanation else run_detection
    task(scratch, scratch / RESULTS, watch.progress)
    messages.write("done")


def main() -> None:
    """Run the worker; exits with 0 when everything is written, else with an ``EXIT_`` code."""
    faulthandler.enable()
    scratch = Path(sys.argv[1])
    messages = MessageWriter(os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n"))
    os.dup2(2, 1)  # what libraries print belongs to the log
    watch = Watch(scratch, messages)
    code = 0
    try:
        watch.start()
        run(scratch, messages, watch)
    except BaseException as error:
        kind, sentence = explain_error(error)
        code = {"cancelled": EXIT_CANCELLED, "refused": EXIT_REFUSED}.get(kind, EXIT_BROKEN)
        if kind not in ("cancelled", "refused"):
            traceback.print_exc()
        try:
            messages.write("failed", kind=kind, sentence=sentence)
        except OSError:
            code = EXIT_BROKEN
    sys.stderr.flush()
    os._exit(code)  # nothing is left to clean up, and no library may hang on the way out


if __name__ == "__main__":
    main()
