"""Scans from files: NIfTI by nibabel, which keeps sheared grids; all else by SimpleITK."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import (
    AmbiguousInput,
    BrainSSLAnomalyError,
    UnreadableScan,
    UnsuitableScan,
)
from ..core.study import Modality, Scan, Study, Volume
from .checks import check_dtype, check_grid, check_intensities, drop_trailing_axes
from .contrast import guess_from_name
from .dicom import read_series

NIFTI = (".nii", ".nii.gz", ".hdr", ".img")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
_EXPORT_AGAIN = "export it again as NIfTI, NRRD, MHA or DICOM"


def read_scan(
    path: Path | str, modality: Modality | str | None = None, series: str | None = None
) -> Scan:
    """Read one scan from a file or a DICOM folder.

    Args:
        path: .nii, .nii.gz, .hdr/.img, .nrrd, .nhdr, .mha, .mhd, a DICOM file or a folder with a
            DICOM series.
        modality: its contrast or the name of it; guessed from name or tags when not given.
        series: number, UID or part of the description, where a folder holds several series.

    Raises:
        UnreadableScan: it cannot be read.
        UnsuitableScan: it is no structural MRI of a head.
        AmbiguousInput: several series, or an unknown contrast.
    """
    if modality is not None:
        modality = _known_modality(modality)
    path = Path(path)
    if not path.exists():
        raise UnreadableScan(f"{path.name} does not exist", "check the path")
    low = path.name.lower()
    guess: tuple[Modality, str] | None
    try:
        if path.is_dir() or not low.endswith((*NIFTI, *ITK)):
            volume, source, sha256, guess = read_series(path, series)
        else:
            volume = _read_nifti(path) if low.endswith(NIFTI) else _read_itk(path)
            source, sha256 = path.name, _sha256(path)
            named = guess_from_name(path.name)
            guess = (named, "file name") if named else None
    except BrainSSLAnomalyError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        KeyError,
        IndexError,
        TypeError,
        OverflowError,
        MemoryError,
        ArithmeticError,
        zlib.error,
    ) as error:
        raise UnreadableScan(
            f"{path.name} cannot be read ({_short(error)})", _EXPORT_AGAIN
        ) from error
    check_intensities(volume, source)
    if modality is not None:
        return Scan(volume, modality, source, sha256)
    if guess is None:
        raise AmbiguousInput(
            f"the contrast of {source} is not clear from its name",
            "say it with --flair, --t1, --t1c, --t2 or --pd",
        )
    return Scan(volume, guess[0], source, sha256, guess[1])


def read_study(
    given: Mapping[Modality, Path | str] | Mapping[str, Path | str],
    unassigned: Sequence[Path | str] = (),
    series: str | None = None,
) -> Study:
    """Read all scans of one patient.

    Args:
        given: modality, or its name → path.
        unassigned: paths whose modality is to be guessed.
        series: see `read_scan`.

    Raises:
        AmbiguousInput: nothing given, an unknown modality, two scans of one modality, or one scan
            as two.
        UnreadableScan: see `read_scan`.
        UnsuitableScan: see `read_scan`.

    Example:
        >>> study = read_study({Modality.FLAIR: "flair.nii.gz"}, ["t1.nii.gz"])
        >>> len(study.scans), study.reference.modality.value
        (2, 'FLAIR')
    """
    if not given and not unassigned:
        raise AmbiguousInput(
            "no scan was given", "name at least one, for example --flair flair.nii.gz"
        )
    scans: dict[Modality, Scan] = {}
    for modality, path in [*given.items(), *((None, p) for p in unassigned)]:
        scan = read_scan(path, modality, series)
        if scan.modality in scans:
            first = scans[scan.modality].source
            raise AmbiguousInput(
                f"{first} and {scan.source} are both {scan.modality.value}",
                "give one scan of each contrast",
            )
        twin = next((s for s in scans.values() if s.sha256 == scan.sha256), None)
        if twin is not None:
            raise AmbiguousInput(
                f"{twin.source} and {scan.source} are the same scan, given as "
                f"{twin.modality.value} and as {scan.modality.value}",
                "give it once",
            )
        scans[scan.modality] = scan
    return Study(scans)


def _known_modality(name: Modality | str) -> Modality:
    try:
        return Modality(name)
    except ValueError:
        known = ", ".join(modality.value for modality in Modality)
        raise AmbiguousInput(f"{name!r} is no known contrast", f"use one of {known}") from None


def _read_nifti(path: Path) -> Volume:
    import nibabel as nib
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nib.loadsave.load(path)
    except (
        nib.filebasedimages.ImageFileError,
        HeaderDataError,
        nib.spatialimages.ImageDataError,
    ) as error:
        raise UnreadableScan(
            f"{path.name} is no readable NIfTI file ({_short(error)})", _EXPORT_AGAIN
        ) from error
    header = image.header
    dtype = header.get_data_dtype()  # type: ignore[attr-defined]
    check_dtype(dtype, path.name)
    shape = tuple(int(n) for n in image.shape)  # type: ignore[attr-defined]
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    affine = np.array(image.affine, np.float64)  # type: ignore[attr-defined]
    if len(shape) == 3:
        check_grid(shape, affine, path.name)
    _check_size(path, int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize)
    array = drop_trailing_axes(np.asarray(image.dataobj), path.name)  # type: ignore[attr-defined]
    with np.errstate(over="ignore"):  # what does not fit is infinite, and refused as such
        return Volume(np.ascontiguousarray(array.T, np.float32), affine)


def _check_size(path: Path, promised: int) -> None:
    """Refuse a header that promises more than its file can hold, before memory is allocated."""
    held = path.stat().st_size
    most = (
        held * 1100 if path.name.lower().endswith(".gz") else held
    )  # deflate cannot do better than 1032 to 1
    if path.name.lower().endswith(".hdr"):
        return
    if promised > most:
        raise UnreadableScan(
            f"{path.name} is shorter than its header promises",
            "copy or export it again; it was probably cut off",
        )
    if path.name.lower().endswith(".gz"):
        size = 0
        try:
            with gzip.open(
                path
            ) as stream:  # nibabel would also find out, but after taking all the memory
                while block := stream.read(1 << 24):
                    size += len(block)
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UnreadableScan(
                f"{path.name} is damaged (its checksum is wrong)", "copy or export it again"
            ) from error
        if size < promised:
            raise UnreadableScan(
                f"{path.name} is shorter than its header promises",
                "copy or export it again; it was probably cut off",
            )


def _read_itk(path: Path) -> Volume:
    import SimpleITK as sitk

    from ..core.resampling import from_sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    sitk.ProcessObject.GlobalWarningDisplayOff()
    reader.ReadImageInformation()
    if reader.GetNumberOfComponents() > 1:
        raise UnsuitableScan(
            f"{path.name} has {reader.GetNumberOfComponents()} values a voxel",
            "give the scan itself, not a rendering of it",
        )
    size = reader.GetSize()
    if reader.GetDimension() > 3 and any(n > 1 for n in size[3:]):
        raise UnsuitableScan(
            f"{path.name} has {reader.GetDimension()} axes",
            "export one structural MRI volume of the head and try again",
        )
    if reader.GetDimension() < 3:
        raise UnsuitableScan(
            f"{path.name} is a picture, not a volume",
            "export one structural MRI volume of the head and try again",
        )
    check_grid(size[:3], np.eye(4) * [*reader.GetSpacing()[:3], 1], path.name)
    reader.SetExtractSize([*size[:3], *([0] * (len(size) - 3))])
    image = reader.Execute()
    check_dtype(sitk.GetArrayViewFromImage(image).dtype, path.name)
    volume = from_sitk(image)
    check_grid(size[:3], volume.affine, path.name)
    return Volume(volume.array.astype(np.float32), volume.affine)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = (lines[-1] if lines else type(error).__name__)[:120]
    return words.replace(". ", "; ").rstrip(".: ")
