"""The slow half in a process of its own: ``python -m BrainSSLAnomalyLib.jobs.worker SCRATCH``.

The scratch folder holds ``request.json`` and the scans it names, or a question about a finding (see `question`). Results go into its
subfolder ``results``, whole or not at all.
One JSON object a line goes to standard output: ``progress`` with stage and fraction, ``alive`` every second, at last ``done`` or
``failed``. A file ``cancel`` in the folder stops the work: at the next step, or a second later wherever it is. So does the end
of whoever started it: when nobody has looked (touched ``watched``) for ten minutes, or the folder is gone.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ..core.errors import BadSettings, BrainSSLAnomalyError, Cancelled
from ..core.settings import detection_from_dict, segmentation_from_dict
from ..core.study import Modality, Study
from .explanation_request import QUESTION, answer

REQUEST, CANCEL, WATCHED, RESULTS = "request.json", "cancel", "watched", "results"
BEAT_S, STOP_S, UNWATCHED_S, ALONE_BEATS = 0.2, 1.0, 600.0, 25
"""The last two: a computer that wakes from sleep finds an old file, and its watcher needs a moment to come back."""
CANCELLED, REFUSED, BROKEN = 130, 2, 1
"""Exit codes, as those of the command line."""


class Voice:
    """Messages to whoever started the worker, from any thread.

    Args:
        stream: what is left of standard output once libraries can no longer print there.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, message: str, **facts: object) -> None:
        """One line, at once."""
        with self._lock:
            self._stream.write(json.dumps({"message": message, **facts}) + "\n")
            self._stream.flush()


class Watch:
    """Looks for the cancel file beside the work, and says that the worker lives.

    Args:
        scratch: the folder.
        voice: where to say so.
    """

    def __init__(self, scratch: Path, voice: Voice) -> None:
        self._scratch = scratch
        self._voice = voice
        self._stop = threading.Event()

    def start(self) -> None:
        """Until the process ends."""
        threading.Thread(target=self._run, daemon=True).start()

    def progress(self, stage: str, fraction: float) -> None:
        """A `Progress` callback that raises `Cancelled` when asked to stop."""
        if self._stop.is_set() or self._cancelled():
            raise Cancelled
        self._voice.say("progress", stage=stage, fraction=round(float(fraction), 4))

    def _cancelled(self) -> bool:
        return (self._scratch / CANCEL).exists() or not self._scratch.exists()

    def _unwatched(self) -> bool:
        try:
            return time.time() - (self._scratch / WATCHED).stat().st_mtime > UNWATCHED_S
        except OSError:
            return True

    def _run(self) -> None:
        beats = alone = 0
        while not self._cancelled() and alone < ALONE_BEATS:
            alone = alone + 1 if self._unwatched() else 0
            if beats % round(1 / BEAT_S) == 0:
                try:
                    self._voice.say("alive")
                except OSError:
                    break
            beats += 1
            time.sleep(BEAT_S)
        self._stop.set()
        if alone:  # whoever started this is gone, and will not tidy up
            shutil.rmtree(self._scratch, ignore_errors=True)
        time.sleep(STOP_S)
        os._exit(
            CANCELLED
        )  # the work is inside a library that cannot be asked; what is unfinished lies in the scratch folder


def run(scratch: Path, voice: Voice, watch: Watch) -> None:
    """Read the request, detect, cut with the settings given, write ``results``; or answer the question about a finding.

    Raises:
        BrainSSLAnomalyError: the request or a scan cannot be used; `Cancelled` when stopped.
    """
    watch.progress("Starting", 0.0)
    if (scratch / QUESTION).exists():
        answer(scratch, scratch / RESULTS, watch.progress)
        voice.say("done")
        return
    from ..detection.device_fallback import detect_anyway
    from ..imageio import read_scan, staged_folder, write_results
    from ..segmentation import segment

    request = read_request(scratch)
    detection_settings = detection_from_dict(request["detection"])
    settings = segmentation_from_dict(request["segmentation"])
    watch.progress("Reading", 0.01)
    scans = {}
    for modality, facts in request["scans"].items():
        scan = read_scan(scratch / facts["file"], Modality(modality))
        scans[scan.modality] = replace(scan, source=facts["source"])
    detection = detect_anyway(
        Study(scans),
        detection_settings,
        lambda stage, fraction: watch.progress(stage, 0.03 + 0.87 * fraction),
    )
    watch.progress("Segmenting", 0.91)
    segmentation = segment(detection, settings)
    watch.progress("Writing", 0.93)
    with staged_folder(scratch / RESULTS, overwrite=True) as stage:
        write_results(stage, detection, segmentation, settings, detection_settings, with_input=True)
        watch.progress("Done", 1.0)
    voice.say("done")


def read_request(scratch: Path) -> dict[str, Any]:
    """What is asked for: ``scans`` (contrast → file and source), ``detection`` and ``segmentation`` settings.

    Raises:
        BadSettings: missing, damaged, or without a scan.
    """
    try:
        request = json.loads((scratch / REQUEST).read_text(encoding="utf-8"))
        for modality, facts in request["scans"].items():
            Modality(modality)
            if Path(facts["file"]).name != facts["file"] or not isinstance(facts["source"], str):
                raise ValueError("a scan lies outside the folder")
        if (
            not request["scans"]
            or not isinstance(request["detection"], dict)
            or not isinstance(request["segmentation"], dict)
        ):
            raise ValueError("no scan, or no settings")
        return dict(request)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSettings(
            f"{REQUEST} cannot be used ({error})", "start the detection again"
        ) from error


def explain(error: BaseException) -> tuple[str, str]:
    """Kind and sentence of what went wrong.

    Returns:
        ``cancelled``, ``refused``, ``memory``, ``disk``, ``missing`` or ``broken``, and one sentence with what to do next.
    """
    words = " ".join(str(error).split())
    if isinstance(error, Cancelled):
        return "cancelled", str(error)
    if isinstance(error, BrainSSLAnomalyError):
        return "refused", str(error)
    if isinstance(error, MemoryError) or speaks_of_memory(words):
        return "memory", OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        getattr(errno, "EDQUOT", errno.ENOSPC),
    ):
        return "disk", "The disk with the temporary files is full: free some space and start again."
    if isinstance(error, ImportError):
        missing = error.name or words
        return (
            "missing",
            f"The Python package {missing} is missing or broken: install what the self-check names and start again.",
        )
    return (
        "broken",
        f"Something went wrong that should not ({type(error).__name__}: {words[:200]}): report it with the log.",
    )


def speaks_of_memory(words: str) -> bool:
    """Whether a message or a log says that memory ran out: each library has its own way."""
    return any(sign in words for sign in _MEMORY_WORDS)


_MEMORY_WORDS = (
    "MemoryError", "bad_alloc", "Failed to allocate memory", "Unable to allocate", "Cannot allocate memory", "failed to map segment",
    "can't start new thread", "Memory allocation still failed", "pthread_create failed",
)  # fmt: skip
OUT_OF_MEMORY = "There was not enough memory: close other programs, or give scans with fewer voxels, and start again."


def main() -> None:
    """Exit code 0 when all is written, else one of `CANCELLED`, `REFUSED`, `BROKEN`."""
    faulthandler.enable()
    scratch = Path(sys.argv[1])
    voice = Voice(os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n"))
    os.dup2(2, 1)  # what libraries print belongs to the log
    watch = Watch(scratch, voice)
    code = 0
    try:
        watch.start()
        run(scratch, voice, watch)
    except BaseException as error:
        kind, sentence = explain(error)
        code = {"cancelled": CANCELLED, "refused": REFUSED}.get(kind, BROKEN)
        if kind not in ("cancelled", "refused"):
            import traceback

            traceback.print_exc()
        try:
            voice.say("failed", kind=kind, sentence=sentence)
        except OSError:
            code = BROKEN
    sys.stderr.flush()
    os._exit(code)  # nothing is left to tidy, and no library may hang on the way out


if __name__ == "__main__":
    main()
