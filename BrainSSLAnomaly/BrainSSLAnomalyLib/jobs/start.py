"""Start workers: on a study, or on the explanation of a finding."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection
from ..core.settings import DetectionSettings
from ..core.study import Study
from ..imageio import read_detection
from .detection_request import write_detection_request
from .explanation_request import (
    ExplanationRequest,
    read_explanation,
    write_explanation_request,
)
from .failure import JobFailed
from .job import Job, new_scratch
from .process import SubprocessStarter

T = TypeVar("T")

WORKER = "BrainSSLAnomalyLib.jobs.worker"


def start_detection(
    study: Study,
    settings: DetectionSettings,
    python: str = "",
    environment: Mapping[str, str] | None = None,
) -> Job[Detection]:
    """Start a worker on a study.

    Args:
        study: to detect in.
        settings: of the detection.
        python: the interpreter, ``PythonSlicer`` within Slicer; this one when empty.
        environment: of the process; that of this one if None.

    Raises:
        JobFailed: it cannot be started.
    """

    def write_request(scratch: Path) -> None:
        write_detection_request(scratch, study, settings)

    return _start(write_request, read_detection, python, environment)


def start_explanation(
    request: ExplanationRequest,
    python: str = "",
    environment: Mapping[str, str] | None = None,
) -> Job[NDArray[np.float32]]:
    """Start a worker on the Grad-CAM of one finding.

    Args:
        request: what it is computed from.
        python: as for `start_detection`.
        environment: as for `start_detection`.

    Raises:
        JobFailed: it cannot be started.
    """

    def write_request(scratch: Path) -> None:
        write_explanation_request(scratch, request)

    return _start(write_request, read_explanation, python, environment)


def _start(
    write_request: Callable[[Path], None],
    read_result: Callable[[Path], T],
    python: str,
    environment: Mapping[str, str] | None,
) -> Job[T]:
    scratch = new_scratch()
    try:
        write_request(scratch)
        command = [python or sys.executable, "-m", WORKER]
        job = Job(command, scratch, read_result, starter=SubprocessStarter(environment))
        job.start()
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise JobFailed(
            f"the request cannot be written ({error.strerror or error})",
            "free some space and start again",
        ) from error
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return job
