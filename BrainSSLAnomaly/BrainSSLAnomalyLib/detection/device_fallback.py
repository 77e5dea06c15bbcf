"""What fails on the GPU is done again on the CPU, and says so: too little memory on a card is no reason to have no result."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ..core.errors import BrainSSLAnomalyError
from ..core.progress import Progress, silent
from ..core.results import Detection
from ..core.settings import DetectionSettings, Device
from ..core.study import Study
from .detect import detect

T = TypeVar("T")
_GPU_WORDS = ("CUDA", "cuda", "cuDNN", "CUDNN", "CUBLAS", "NVIDIA", "NVML")


def detect_anyway(
    study: Study, settings: DetectionSettings, progress: Progress = silent
) -> Detection:
    """`detect`; a GPU that runs out of memory or fails is replaced by the CPU.

    Args:
        study, settings, progress: as for `detect`.

    Returns:
        The detection; where the GPU has failed its first warning says so.

    Raises:
        BrainSSLAnomalyError: as `detect`. What is no failure of the GPU is raised as it is.
    """
    detection, said = gpu_else_cpu(
        lambda device: detect(study, replace(settings, device=device), progress), settings.device
    )
    return replace(detection, warnings=(said, *detection.warnings)) if said else detection


def gpu_else_cpu(attempt: Callable[[Device], T], device: Device) -> tuple[T, str]:
    """Try on a device, and on the CPU if that fails.

    Args:
        attempt: what is done on a device.
        device: the first one.

    Returns:
        What the attempt has returned, and a sentence where it was the second.

    Raises:
        Exception: what the attempt raises, unless it is a failure of the GPU.
    """
    try:
        return attempt(device), ""
    except Exception as error:
        if device is Device.CPU or not gpu_failed(error):
            raise
        why = (
            "out of memory"
            if _out_of_memory(error)
            else "it is missing or has failed; the log says how"
        )
        traceback.print_exc(file=sys.stderr)
    # Out of the handler: the traceback would keep what lies on the GPU.
    return attempt(
        Device.CPU
    ), f"The network could not run on the GPU ({why}), and has run on the CPU instead."


def gpu_failed(error: BaseException) -> bool:
    """Whether an exception comes from a GPU: torch tells by class where memory ran out, else only in words."""
    if isinstance(error, (BrainSSLAnomalyError, ImportError)):
        return False
    return _out_of_memory(error) or (
        isinstance(error, (RuntimeError, AssertionError))
        and any(w in str(error) for w in _GPU_WORDS)
    )


def _out_of_memory(error: BaseException) -> bool:
    return (
        type(error).__name__ == "OutOfMemoryError"
        or "CUDA out of memory" in str(error)
        or "CUDA_OUT_OF_MEMORY" in str(error)
    )
