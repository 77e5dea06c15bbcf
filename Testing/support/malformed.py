"""Files and folders that are no scan of a brain: name → function (folder) → path."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

Maker = Callable[[Path], Path]


def head(shape: tuple[int, int, int] = (40, 44, 42), spacing: float = 4.0) -> np.ndarray:
    """(k, j, i) int16: an ellipsoid with some texture, as large as a head."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    rng = np.random.default_rng(0)
    inside = i**2 + j**2 + k**2 < 0.7
    return (
        inside * (400 + 300 * (np.cos(6 * i) * np.cos(5 * j) > 0.2)) + rng.integers(0, 60, shape)
    ).astype(np.int16)


def _nifti(
    array: np.ndarray | None = None, affine: np.ndarray | None = None, name: str = "flair.nii"
) -> Maker:
    def make(folder: Path) -> Path:
        values = head().T if array is None else array
        nib.nifti1.Nifti1Image(
            values, np.diag([4.0, 4, 4, 1]) if affine is None else affine
        ).to_filename(folder / name)
        return folder / name

    return make


def _patched(*patches: tuple[int, bytes], compress: bool = False, cut: int | None = None) -> Maker:
    """A good NIfTI file with some bytes of its header replaced."""

    def make(folder: Path) -> Path:
        path = _nifti()(folder)
        data = bytearray(path.read_bytes())
        for place, new in patches:
            data[place : place + len(new)] = new
        data = data[:cut]
        if compress:
            path = folder / "flair.nii.gz"
            path.write_bytes(gzip.compress(bytes(data)))
        else:
            path.write_bytes(bytes(data))
        return path

    return make


def _bytes(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _itk(
    name: str, edit: Callable[[bytes], bytes], array: np.ndarray | None = None, **options: bool
) -> Maker:
    def make(folder: Path) -> Path:
        image = sitk.GetImageFromArray(head() if array is None else array, **options)
        image.SetSpacing([4.0] * image.GetDimension())
        sitk.WriteImage(image, str(folder / name))
        (folder / name).write_bytes(edit((folder / name).read_bytes()))
        return folder / name

    return make


def _folder(**files: bytes) -> Maker:
    def make(folder: Path) -> Path:
        place = folder / "scans"
        place.mkdir()
        for name, content in files.items():
            (place / name.replace("_dot_", ".")).write_bytes(content)
        return place

    return make


def _shorts(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def _floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _affine(**columns: list[float]) -> np.ndarray:
    affine = np.diag([4.0, 4, 4, 1])
    for name, column in columns.items():
        affine[:3, "ijk".index(name)] = column
    return affine


def _with(value: float, where: tuple[int, int, int] = (20, 20, 20)) -> np.ndarray:
    array = head().T.astype(np.float32)
    array[where] = value
    return array


def _rgb() -> np.ndarray:
    colours = np.zeros((42, 44, 40), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"] = np.arange(40, dtype=np.uint8)
    return colours


def _ct() -> np.ndarray:
    body = head().T
    return np.where(body > 200, 40 + (body % 17), -1000).astype(np.int16)


def _dicom(edit: Callable[[object, int], None], count: int = 12) -> Maker:
    def make(folder: Path) -> Path:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

        place = folder / "series"
        place.mkdir()
        series, study = generate_uid(), generate_uid()
        for n in range(count):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = MRImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            item = FileDataset(
                str(place / f"{n:03d}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128
            )
            item.SOPClassUID, item.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
            item.SeriesInstanceUID, item.StudyInstanceUID = series, study
            item.Modality, item.SeriesDescription, item.SeriesNumber = "MR", "t1", 3
            item.Rows = item.Columns = 64
            item.PixelSpacing, item.SliceThickness = [3.0, 3.0], 10.0
            item.ImagePositionPatient, item.ImageOrientationPatient = (
                [-96.0, -96.0, 10.0 * n],
                [1.0, 0, 0, 0, 1, 0],
            )
            item.InstanceNumber, item.SamplesPerPixel, item.PhotometricInterpretation = (
                n + 1,
                1,
                "MONOCHROME2",
            )
            item.BitsAllocated = item.BitsStored = 16
            item.HighBit, item.PixelRepresentation = 15, 0
            item.PixelData = head((64, 64, 12))[..., n % 12].astype(np.uint16).tobytes()
            edit(item, n)
            item.save_as(place / f"{n:03d}.dcm", enforce_file_format=True)
        return place

    return make


def _set(item: object, **values: object) -> None:
    for name, value in values.items():
        setattr(item, name, value)


HDR = 348
MALFORMED: dict[str, Maker] = {
    "absent": lambda folder: folder / "nowhere_flair.nii.gz",
    "empty file nii": _bytes("flair.nii", b""),
    "empty file gz": _bytes("flair.nii.gz", b""),
    "empty file nrrd": _bytes("flair.nrrd", b""),
    "empty file mha": _bytes("flair.mha", b""),
    "empty file without suffix": _bytes("flair", b""),
    "text as nii": _bytes("flair.nii", b"this is a letter" * 100),
    "text as gz": _bytes("flair.nii.gz", b"this is a letter" * 100),
    "text as dcm": _bytes("flair.dcm", b"this is a letter" * 100),
    "random bytes": _bytes("flair.nii", np.random.default_rng(1).bytes(5000)),
    "zeros as nii": _bytes("flair.nii", b"\0" * 5000),
    "gzip of nothing": _bytes("flair.nii.gz", gzip.compress(b"")),
    "gzip of text": _bytes("flair.nii.gz", gzip.compress(b"letter" * 500)),
    "gzip header only": _bytes("flair.nii.gz", gzip.compress(b"x" * 999)[:12]),
    "png": _bytes("flair.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 200),
    "jpeg named nii": _bytes("flair.nii", b"\xff\xd8\xff\xe0" + b"\0" * 2000),
    "pickle": _bytes("flair.pkl", b"\x80\x04\x95\x0b."),
    "header alone": _patched(cut=HDR),
    "half a header": _patched(cut=120),
    "voxels cut off": _patched(cut=20_000),
    "voxels cut off, compressed": _patched(cut=20_000, compress=True),
    "wrong magic": _patched((344, b"nope")),
    "unknown data type": _patched((70, _shorts(7777, 16))),
    "data type 0": _patched((70, _shorts(0, 0))),
    "binary data type": _patched((70, _shorts(1, 1))),
    "data type float128 without bytes": _patched((70, _shorts(1536, 128))),
    "dimension count 0": _patched((40, _shorts(0))),
    "dimension count 9": _patched((40, _shorts(9))),
    "negative dimensions": _patched((42, _shorts(-42, 44, 40))),
    "zero dimension": _patched((42, _shorts(42, 0, 40))),
    "huge dimensions": _patched((42, _shorts(32767, 32767, 32767))),
    "huge dimensions, compressed": _patched((42, _shorts(32767, 32767, 32767)), compress=True),
    "twice the slices": _patched((46, _shorts(80))),
    "twice the slices, compressed": _patched((46, _shorts(80)), compress=True),
    "offset beyond the end": _patched((108, _floats(1e9))),
    "negative offset": _patched((108, _floats(-500.0))),
    "not-a-number offset": _patched((108, _floats(float("nan")))),
    "scaling to infinity": _patched((112, _floats(1e38))),
    "affine not finite": _patched((280, _floats(float("nan"), 0, 0, 0))),
    "affine of zeros": _patched((280, _floats(*[0] * 12))),
    "affine with two equal columns": _nifti(affine=_affine(j=[4.0, 0, 0])),
    "affine in metres": _nifti(affine=np.diag([0.004, 0.004, 0.004, 1])),
    "affine in micrometres": _nifti(affine=np.diag([4000.0, 4000, 4000, 1])),
    "a single slice": _nifti(head().T[:, :, 20:21]),
    "seven slices": _nifti(head().T[:, :, :7], np.diag([4.0, 4, 25, 1])),
    "two axes": _nifti(head()[20].T),
    "four axes": _nifti(np.stack([head().T] * 3, -1)),
    "five axes": _nifti(np.stack([head().T] * 3, -1)[:, :, :, None, :]),
    "complex": _nifti(head().T.astype(np.complex64)),
    "colour": _nifti(_rgb()),
    "constant zero": _nifti(np.zeros((42, 44, 40), np.int16)),
    "constant": _nifti(np.full((42, 44, 40), 7.5, np.float32)),
    "one bright voxel": _nifti(
        np.where(np.arange(42 * 44 * 40).reshape(42, 44, 40) < 40, np.arange(40) + 1, 0).astype(
            np.int16
        )
    ),
    "a mask": _nifti((head().T > 300).astype(np.uint8)),
    "a label map": _nifti((head().T // 200).astype(np.int16)),
    "not a number": _nifti(_with(np.nan)),
    "infinite": _nifti(_with(np.inf)),
    "minus infinite": _nifti(_with(-np.inf)),
    "a CT": _nifti(_ct()),
    "field of view of a finger": _nifti(affine=np.diag([1.0, 1, 1, 1])),
    "field of view of a room": _nifti(affine=np.diag([40.0, 40, 40, 1])),
    "nrrd without voxels": _itk("flair.nrrd", lambda b: b[: b.index(b"\n\n") + 2]),
    "nrrd with a lie": _itk(
        "flair.nrrd", lambda b: b.replace(b"sizes: 42 44 40", b"sizes: 42 44 4000")
    ),
    "nrrd with nonsense": _itk("flair.nrrd", lambda b: b.replace(b"type: short", b"type: sheep")),
    "nrrd of vectors": _itk("flair.nrrd", lambda b: b, np.stack([head()] * 3, -1), isVector=True),
    "mha without voxels": _itk("flair.mha", lambda b: b[: b.index(b"LOCAL") + 6]),
    "mha with a lie": _itk(
        "flair.mha", lambda b: b.replace(b"DimSize = 42 44 40", b"DimSize = 9942 44 40")
    ),
    "mha of four axes": _itk("flair.mha", lambda b: b, np.stack([head()] * 3)),
    "mhd without its raw file": lambda folder: [
        _itk("flair.mhd", lambda b: b)(folder),
        (folder / "flair.raw").unlink(),
    ][0],
    "hdr without img": lambda folder: _bytes("flair.hdr", _nifti()(folder).read_bytes()[:HDR])(
        folder
    ),
    "empty folder": _folder(),
    "folder of text": _folder(a_dot_txt=b"hello", b_dot_dcm=b"no dicom"),
    "folder of NIfTI": _folder(flair_dot_nii=b"\0" * 400),
    "DICOM of a single image": _dicom(lambda item, n: None, count=1),
    "DICOM of a CT": _dicom(lambda item, n: _set(item, Modality="CT")),
    "DICOM with a gap": _dicom(
        lambda item, n: _set(
            item, ImagePositionPatient=[-96.0, -96.0, 10.0 * n + (40 if n > 6 else 0)]
        )
    ),
    "DICOM all at one place": _dicom(
        lambda item, n: _set(item, ImagePositionPatient=[-96.0, -96.0, 0.0])
    ),
    "DICOM with a tilt": _dicom(
        lambda item, n: _set(item, ImagePositionPatient=[-96.0, -96.0 + 3.0 * n, 10.0 * n])
    ),
    "DICOM without pixels": _dicom(lambda item, n: delattr(item, "PixelData")),
    "DICOM with half its pixels": _dicom(
        lambda item, n: _set(item, PixelData=item.PixelData[:100])
    ),
    "DICOM of five slices": _dicom(lambda item, n: None, count=5),
}
