"""The scans of a result, found again: by name and by SHA-256, never by name alone."""

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

MADE = "patient"
"""Folder inside the results of ``demo`` with the scans that it has made."""
_SERIES = re.compile(r"DICOM series (\S+)")


def scans_again(detection: Detection, folder: Path, places: Sequence[Path] = ()) -> Study:
    """The study that a result was made from.

    The reference scan lies in the result itself, so that a result of one scan needs no other file. Others are looked for
    beside the result and where the user stands too; those that were made in memory, and so have no SHA-256, are not.

    Args:
        detection: as `read_results` gives it.
        folder: of the result.
        places: folders to look in first, and files.

    Raises:
        BadResults: a scan is no longer there, or is another than the one that was detected in.
    """
    folder = Path(folder).resolve()
    around = (folder, folder.parent, Path.cwd())

    def again(scan: Scan) -> Scan:
        return _again(scan, [*places, folder / MADE, *(around if scan.sha256 else ())])

    scans = {
        s.modality: s if s.modality is detection.modality else again(s) for s in detection.inputs
    }
    return Study({detection.modality: Scan(detection.reference, detection.modality), **scans})


def _again(known: Scan, places: Sequence[Path]) -> Scan:
    """The scan itself, with its own volume."""
    others = False
    for path, series in _candidates(known, places):
        try:
            found = read_scan(path, known.modality, series)
        except BrainSSLAnomalyError:  # something else of that name
            continue
        if (
            found.sha256 == known.sha256 or not known.sha256
        ):  # scans that were made in memory have none
            return replace(known, volume=found.volume)
        others = True
    name = known.source or known.modality.value
    if others:
        raise BadResults(
            f"{name} is not the scan that was detected in (its SHA-256 is another)",
            "say with --scans where that one lies",
        )
    raise BadResults(f"{name} is no longer there", "say with --scans where it lies")


def _candidates(known: Scan, places: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Files that may hold a scan, and folders with the number of the series."""
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
    return (
        path.name.lower().endswith((*NIFTI, *ITK)) and guess_from_name(path.name) is known.modality
    )
