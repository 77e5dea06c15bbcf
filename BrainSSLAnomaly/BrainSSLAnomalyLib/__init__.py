"""Find what is unusual in a brain MRI without ever having been shown a lesion.

Research use only, not for diagnosis. The public names below are imported when they are first used:
importing this package imports neither torch nor slicer, and works before Slicer has installed the
packages that it needs (so that ``lazy_loader`` has no place here).

Example:
    >>> from BrainSSLAnomalyLib import Modality, detect, read_study, segment
    >>> study = read_study({Modality.FLAIR: "flair.nii.gz"})
    >>> segment(detect(study)).findings[0].place
    'right frontal lobe, deep white matter'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .core.version import __version__

_HOMES = {
    "core.errors": (
        "AmbiguousInput",
        "BadResults",
        "BadSettings",
        "BrainSSLAnomalyError",
        "Cancelled",
        "DamagedModel",
        "PreparationFailed",
        "ResultsExist",
        "UnreadableScan",
        "UnsuitableScan",
    ),
    "core.results": ("Detection", "Finding", "MapName", "Provenance", "Segmentation"),
    "core.settings": (
        "AnatomySource",
        "DetectionSettings",
        "DetectorName",
        "Device",
        "MorphologySettings",
        "NetworkSize",
        "ScoreName",
        "SegmentationSettings",
        "ThresholdMethod",
        "ThresholdSettings",
        "default_segmentation",
    ),
    "core.study": ("Modality", "Scan", "Study", "Volume"),
    "detection.detect": ("Detector", "detect"),
    "imageio": ("read_results", "read_scan", "read_study", "write_results"),
    "phantom": ("synthetic_patient",),
    "report": ("write_report",),
    "segmentation": ("Segmenter", "segment"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]

if TYPE_CHECKING:
    from .core.errors import (
        AmbiguousInput,
        BadResults,
        BadSettings,
        BrainSSLAnomalyError,
        Cancelled,
        DamagedModel,
        PreparationFailed,
        ResultsExist,
        UnreadableScan,
        UnsuitableScan,
    )
    from .core.results import Detection, Finding, MapName, Provenance, Segmentation
    from .core.settings import (
        AnatomySource,
        DetectionSettings,
        DetectorName,
        Device,
        MorphologySettings,
        NetworkSize,
        ScoreName,
        SegmentationSettings,
        ThresholdMethod,
        ThresholdSettings,
        default_segmentation,
    )
    from .core.study import Modality, Scan, Study, Volume
    from .detection.detect import Detector, detect
    from .imageio import read_results, read_scan, read_study, write_results
    from .phantom import synthetic_patient
    from .report import write_report
    from .segmentation import Segmenter, segment


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
