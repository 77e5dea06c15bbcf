"""A detection that fails on the GPU is made again on the CPU, and says so: too little memory on a card is no reason to have no result."""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace

from .detection import Detection
from .detector import detect
from .errors import BrainSSLAnomalyError
from .progress import Progress, silent
from .settings import DetectionSettings, Device
from .study import Study

_GPU_WORDS = ("CUDA", "cuda", "cuDNN", "CUDNN", "CUBLAS", "NVIDIA", "NVML")


def detect_anyway(study: Study, settings: DetectionSettings, progress: Progress = silent) -> Detection:
    """`detect`; a GPU that runs out of memory or fails is replaced by the CPU.

    Args:
        study, settings, progress: as for `detect`.

    Returns:
        The detection; where the GPU has failed its first warning says so.

    Raises:
        BrainSSLAnomalyError: as `detect`. What is no failure of the GPU is raised as it is.
    """
    try:
        return detect(study, settings, progress)
    except Exception as error:
        if settings.device is Device.CPU or not gpu_failed(error):
            raise
        why = "out of memory" if _out_of_memory(error) else "it is missing or has failed; the log says how"
        traceback.print_exc(file=sys.stderr)
    progress("Again, on the CPU", 0.0)  # out of the handler: the traceback would keep what lies on the GPU
    detection = detect(study, replace(settings, device=Device.CPU), progress)
    said = f"The network could not run on the GPU ({why}), and has run on the CPU instead."
    return replace(detection, warnings=(said, *detection.warnings))


def gpu_failed(error: BaseException) -> bool:
    """Whether an exception comes from a GPU: torch tells by class where memory ran out, else only in words."""
    if isinstance(error, (BrainSSLAnomalyError, ImportError)):
        return False
    return _out_of_memory(error) or (isinstance(error, (RuntimeError, AssertionError)) and any(w in str(error) for w in _GPU_WORDS))


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in str(error) or "CUDA_OUT_OF_MEMORY" in str(error)
