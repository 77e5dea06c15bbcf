"""Fallback from the GPU to the CPU, with a warning."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ..core.errors import BrainSSLAnomalyError
from ..core.progress import Progress, ignore_progress
from ..core.results import Detection
from ..core.settings import DetectionSettings, Device
from ..core.study import Study
from .detect import detect

T = TypeVar("T")
_GPU_WORDS = ("CUDA", "cuda", "cuDNN", "CUDNN", "CUBLAS", "NVIDIA", "NVML")


def detect_with_fallback(
    study: Study, settings: DetectionSettings, progress: Progress = ignore_progress
) -> Detection:
    """Run `detect`; where a GPU runs out of memory or fails, run it on the CPU.

    Args:
        study: as for `detect`.
        settings: as for `detect`.
        progress: as for `detect`.

    Returns:
        The detection; its first warning names a failure of the GPU.

    Raises:
        BrainSSLAnomalyError: as `detect`. Other errors than those of a GPU are raised as they are.
    """
    detection, warning = gpu_else_cpu(
        lambda device: detect(study, replace(settings, device=device), progress), settings.device
    )
    return replace(detection, warnings=(warning, *detection.warnings)) if warning else detection


def gpu_else_cpu(attempt: Callable[[Device], T], device: Device) -> tuple[T, str]:
    """Try something on a device, and on the CPU if the GPU fails.

    Args:
        attempt: function of the device.
        device: the first to try.

    Returns:
        The result of the attempt, and a sentence if it was the second.

    Raises:
        Exception: of the attempt, unless it is a failure of the GPU.
    """
    try:
        return attempt(device), ""
    except Exception as error:
        if device is Device.CPU or not gpu_failed(error):
            raise
        why = (
            "out of memory" if _out_of_memory(error) else "it is missing or has failed; see the log"
        )
        traceback.print_exc(file=sys.stderr)
    # Out of the handler: the traceback would keep what lies on the GPU.
    return attempt(
        Device.CPU
    ), f"The network could not run on the GPU ({why}), and has run on the CPU instead."


def gpu_failed(error: BaseException) -> bool:
    """Return whether an exception comes from a GPU, by its class or its text."""
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
