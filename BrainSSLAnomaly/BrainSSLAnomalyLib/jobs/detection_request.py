"""A detection as a request to the worker: scans and settings in files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..core.errors import BadSettings
from ..core.files import write_text
from ..core.progress import Progress
from ..core.records import detection_from_dict, to_dict
from ..core.settings import DetectionSettings
from ..core.study import Modality, Study
from ..imageio import read_scan, results_folder, write_detection, write_volume
from .messages import REQUEST

_PREPARED, _DETECTED = 0.03, 0.93
"""Fractions of the whole that are done then."""


def write_detection_request(scratch: Path, study: Study, settings: DetectionSettings) -> None:
    """Write the request for a detection.

    Raises:
        OSError: it cannot be written.
    """
    scans = {}
    for modality, scan in study.scans.items():
        name = f"{modality.key}.nii"
        write_volume(scratch / name, scan.volume, np.float32)
        scans[modality.value] = {"file": name, "source": scan.source}
    request = {"scans": scans, "detection": to_dict(settings)}
    write_text(scratch / REQUEST, json.dumps(request, indent=1))


class RequestedScan(NamedTuple):
    """Name one scan of a request.

    Attributes:
        modality: its contrast.
        file: inside the scratch folder.
        source: its name for the results.
    """

    modality: Modality
    file: str
    source: str


class DetectionRequest(NamedTuple):
    """Hold a request for a detection."""

    scans: tuple[RequestedScan, ...]
    settings: DetectionSettings


def read_detection_request(scratch: Path) -> DetectionRequest:
    """Return the request of a scratch folder.

    Raises:
        BadSettings: missing, damaged, or without a scan.
    """
    try:
        content = json.loads((scratch / REQUEST).read_text(encoding="utf-8"))
        scans = tuple(
            RequestedScan(Modality(modality), values["file"], values["source"])
            for modality, values in content["scans"].items()
        )
        for scan in scans:
            if Path(scan.file).name != scan.file or not isinstance(scan.source, str):
                raise ValueError("a scan lies outside the folder")
        if not scans:
            raise ValueError("there is no scan")
        return DetectionRequest(scans, detection_from_dict(content["detection"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSettings(
            f"{REQUEST} cannot be used ({error})", "start the detection again"
        ) from error


def run_detection(scratch: Path, results: Path, progress: Progress) -> None:
    """Detect as requested, and write the detection.

    Args:
        scratch: folder with the request.
        results: folder to be made, whole or not at all.
        progress: receives the stage and the fraction done; may raise `Cancelled`.

    Raises:
        BrainSSLAnomalyError: the request or a scan cannot be used.
    """
    from ..detection.device_fallback import detect_with_fallback

    request = read_detection_request(scratch)
    progress("Reading", 0.01)
    scans = {}
    for requested in request.scans:
        scan = read_scan(scratch / requested.file, requested.modality)
        scans[requested.modality] = replace(scan, source=requested.source)

    def report(stage: str, fraction: float) -> None:
        progress(stage, _PREPARED + (_DETECTED - _PREPARED) * fraction)

    detection = detect_with_fallback(Study(scans), request.settings, report)
    progress("Writing", _DETECTED)
    with results_folder(results, overwrite=True) as stage:
        write_detection(stage, detection)
        progress("Done", 1.0)
