"""The scans of a result, located by name and SHA-256, never by name alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import BadResults, BrainSSLAnomalyError
from ..core.results import Detection
from ..core.study import Scan, Study
from .contrast import guess_from_name
from .reading import ITK, NIFTI, read_scan

DEMO_SCANS = "patient"
"""Folder inside the results of ``demo`` with its synthetic scans."""

_SERIES = re.compile(r"DICOM series (\S+)")


def locate_scans(detection: Detection, folder: Path, places: Sequence[Path] = ()) -> Study:
    """Return the study that a result was made from.

    The reference scan lies in the result itself, so that a result of one scan needs no other file.
    Others are searched for beside the result and in the current folder; scans that were made in
    memory have no SHA-256 and are not.

    Args:
        detection: as `read_results` returns it.
        folder: of the result.
        places: folders to search first, and files.

    Raises:
        BadResults: a place does not exist, a scan is missing, or one is another than the one
            that was detected in.
    """
    for place in places:
        if not place.exists():
            raise BadResults(f"{place} does not exist", "check the path")
    folder = Path(folder).resolve()
    nearby = (folder, folder.parent, Path.cwd())
    scans = {detection.modality: Scan(detection.reference, detection.modality)}
    for scan in detection.inputs:
        if scan.modality is detection.modality:
            scans[scan.modality] = scan
        else:
            searched = [*places, folder / DEMO_SCANS, *(nearby if scan.sha256 else ())]
            scans[scan.modality] = _locate(scan, searched)
    return Study(scans)


def _locate(known: Scan, places: Sequence[Path]) -> Scan:
    """Return a scan with its own volume."""
    has_namesake = False
    for path, series in _candidates(known, places):
        try:
            found = read_scan(path, known.modality, series)
        except BrainSSLAnomalyError:  # something else of that name
            continue
        if not known.sha256 or found.sha256 == known.sha256:
            return replace(known, volume=found.volume)
        has_namesake = True
    name = known.source or known.modality.value
    if has_namesake:
        raise BadResults(
            f"{name} is not the scan that was detected in (its SHA-256 is another)",
            "give the place of that one with --scans",
        )
    raise BadResults(f"{name} is missing", "give its place with --scans")


def _candidates(known: Scan, places: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Yield files that may hold a scan, and folders with the number of the series."""
    series = _SERIES.match(known.source)
    for place in places:
        if series and place.is_dir():
            yield place, series[1]
        elif place.is_dir():
            yield from ((p, None) for p in sorted(place.iterdir()) if _may_be(p, known))
        elif place.is_file() and (known.sha256 or guess_from_name(place.name) is known.modality):
            yield place, series[1] if series else None


def _may_be(path: Path, known: Scan) -> bool:
    if known.sha256:
        return path.name == known.source
    is_image = path.name.lower().endswith((*NIFTI, *ITK))
    return is_image and guess_from_name(path.name) is known.modality
