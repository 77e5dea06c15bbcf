"""A DICOM series from a folder: GDCM orders and reads the slices, pydicom reads the tags."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from ..core.errors import AmbiguousInput, UnreadableScan, UnsuitableScan
from ..core.files import sha256
from ..core.resampling import from_sitk
from ..core.study import Modality, Volume
from .checks import check_grid
from .contrast import guess_from_tags

_TAGS = (
    "Modality",
    "SeriesDescription",
    "ProtocolName",
    "SeriesNumber",
    "ContrastBolusAgent",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
)
_GEOMETRY = ["ImagePositionPatient", "ImageOrientationPatient", "Rows", "Columns", "BitsAllocated"]
SLICE_TOLERANCE = 0.1
"""Largest deviation of one slice distance from the usual one, as a share of it."""


def read_series(
    path: Path, series: str | None
) -> tuple[Volume, str, str, tuple[Modality, str] | None]:
    """Return the series in a folder, or the one that a file belongs to.

    Args:
        path: folder or file.
        series: number, UID or part of the description of the wanted series; needed where there are
            several.

    Returns:
        Volume, a name without patient data, SHA-256 over all files, and the guessed modality.

    Raises:
        UnreadableScan: no series, or a damaged one.
        UnsuitableScan: no single volume of an MRI.
        AmbiguousInput: several series.
    """
    import SimpleITK as sitk

    found = _find_series(path)
    uid, tags = _choose(found, path.name, series)
    files = found[uid]
    if str(tags.get("Modality", "MR")) != "MR":
        raise UnsuitableScan(
            f"{path.name} is a {tags['Modality']} series",
            "give an MRI; this program knows nothing else",
        )
    if len(files) < 2:
        raise UnsuitableScan(f"{path.name} holds a single image", "give all slices of the series")
    _check_slices(files, path.name)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    image = reader.Execute()
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise UnsuitableScan(
            f"{path.name} is a series of colour pictures",
            "give the scan itself, not a rendering of it",
        )
    volume = from_sitk(image)
    check_grid(volume.array.shape[::-1], volume.affine, path.name)
    volume = volume.with_array(volume.array.astype(np.float32))
    return volume, _name(tags), _digest(files), guess_from_tags(tags)


def _find_series(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the files of each series in a folder by UID, or of the one that a file belongs to.

    Raises:
        UnreadableScan: there is none.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.GlobalWarningDisplayOff()
    folder = os.fspath(path if path.is_dir() else path.parent)
    reader = sitk.ImageSeriesReader
    uids = reader.GetGDCMSeriesIDs(folder)
    found = {uid: tuple(reader.GetGDCMSeriesFileNames(folder, uid)) for uid in uids}
    if path.is_dir():
        found = {uid: files for uid, files in found.items() if files}
    else:
        names = {uid: {Path(file).name for file in files} for uid, files in found.items()}
        found = {uid: files for uid, files in found.items() if path.name in names[uid]}
    if not found:
        unknown = "no image in a format that this program knows"
        raise UnreadableScan(
            f"{path.name} holds {'no DICOM series' if path.is_dir() else unknown}",
            "give a NIfTI, NRRD or MHA file or a folder with one DICOM series",
        )
    return found


def _digest(files: tuple[str, ...]) -> str:
    """Return the SHA-256 of the sorted SHA-256 of some files."""
    digests = sorted(sha256(Path(file)) for file in files)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _name(tags: dict[str, object]) -> str:
    description = str(tags.get("SeriesDescription") or tags.get("ProtocolName") or "").strip()
    return f"DICOM series {tags.get('SeriesNumber', '?')}" + (
        f" ({description})" if description else ""
    )


def _choose(
    found: dict[str, tuple[str, ...]], name: str, series: str | None
) -> tuple[str, dict[str, object]]:
    import pydicom

    described = {}
    for uid, files in found.items():
        header = pydicom.dcmread(files[0], stop_before_pixels=True, force=True)
        described[uid] = {tag: header.get(tag, "") for tag in _TAGS}
    if series is not None:
        wanted = series.strip().lower()
        exact = [
            u for u, t in described.items() if wanted in (u.lower(), str(t["SeriesNumber"]).lower())
        ]
        matching = exact or [
            u
            for u, t in described.items()
            if wanted and wanted in str(t["SeriesDescription"]).lower()
        ]
    else:
        matching = list(found)
    if len(matching) == 1:
        return matching[0], described[matching[0]]
    listing = "; ".join(f"{_name(described[u])[13:]}, {len(found[u])} images" for u in found)
    what = (
        f"{name} holds {len(found)} series"
        if matching or series is None
        else f"no series of {name} matches {series}"
    )
    raise AmbiguousInput(
        f"{what} [{listing}]", "choose one by its number, UID or description with --series"
    )


def _check_slices(files: tuple[str, ...], name: str) -> None:
    """Refuse cut-off, repeated, missing and tilted slices: the reader would misplace them."""
    import pydicom

    positions, normal = [], None
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_GEOMETRY)
        if not header.file_meta.TransferSyntaxUID.is_compressed:
            promised = (
                int(header.get("Rows", 0))
                * int(header.get("Columns", 0))
                * int(header.get("BitsAllocated", 8))
                // 8
            )
            if Path(file).stat().st_size < promised:
                raise UnreadableScan(
                    f"{name} has an image that was cut off ({Path(file).name})",
                    "copy or export the series again",
                )
        if "ImagePositionPatient" not in header or "ImageOrientationPatient" not in header:
            return  # multi-frame or secondary capture: the grid is checked instead
        orientation = np.array(header.ImageOrientationPatient, float)
        normal = np.cross(orientation[:3], orientation[3:]) if normal is None else normal
        positions.append(np.array(header.ImagePositionPatient, float))
    places = np.array(positions)
    along = np.sort(places @ normal)
    steps = np.diff(along)
    usual = float(np.median(steps))
    if usual < 1e-3 or (steps < 0.5 * usual).any():
        raise UnsuitableScan(
            f"{name} has several images at one place",
            "give one volume: a single time point, echo and reconstruction",
        )
    if (np.abs(steps - usual) > SLICE_TOLERANCE * usual).any():
        raise UnsuitableScan(
            f"{name} has missing or unevenly spaced slices", "export the whole series again"
        )
    shift = places[-1] - places[0]
    tilt = np.linalg.norm(shift - (shift @ normal) * normal) / max(
        float(np.linalg.norm(shift)), 1e-6
    )
    if tilt > 0.02:
        raise UnsuitableScan(
            f"{name} has a tilted stack of slices",
            "convert it to NIfTI with a tool that keeps the tilt, and give that file",
        )
