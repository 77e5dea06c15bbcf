"""An archive of old people's T1 and FLAIR: ``python -m training.data.elderly``.

The FLAIR is resampled onto the T1 grid, anatomical labels become structures as for IXI, and what is
not known to be healthy is excluded: the automatic map of white-matter hyperintensities, grown, and
white matter that is bright on the FLAIR. People kept for calibration are never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import TISSUE_OF_STRUCTURE, Tissue
from BrainSSLAnomalyLib.core.study import Modality
from numpy.typing import NDArray
from scipy import ndimage

from .files import DATA, load_upright
from .heads import SPACING_MM, Head, read, structures_of_muse, write

ELDERLY = Path("results/elderly.npz")
MODALITIES = (Modality.T1, Modality.FLAIR)

GROWN_MM = 4.0
"""How far the automatic map is grown: it cuts many lesions short."""

BRIGHT_Z = 2.5
"""White matter on FLAIR beyond this robust z may be a lesion that the automatic map lacks."""

AROUND_BRIGHT_MM = 2.0
"""How far bright white matter is grown: by one voxel, for partial volume."""

MARGIN_MM = 8.0
"""What is kept around the brain; the hybrid learns from nothing outside it."""


def read_elderly(most: int | None = None) -> Iterator[Head]:
    """Yield the heads of the training people, cropped to the brain."""
    for folder in sorted((DATA / "healthy" / "elderly_2mm" / "train").iterdir())[:most]:
        yield read_person(folder)


def read_person(folder: Path) -> Head:
    """Read T1, FLAIR, structures and possible lesions of one person.

    Args:
        folder: with ``t1``, ``flair``, ``dlmuse`` and ``wmh_automatic``, each ``.nii.gz``.
    """
    t1 = load_upright(folder / "t1.nii.gz")
    flair, acquired = _resample_to_t1(folder, "flair", order=1)
    mapped, _ = _resample_to_t1(folder, "wmh_automatic", order=0)
    structures = structures_of_muse(load_upright(folder / "dlmuse.nii.gz").astype(np.int64))
    structures[~acquired] = 0
    excluded = find_possible_lesions(flair, structures, mapped > 0)
    return crop_to_brain(Head(np.stack([t1, flair]), structures, excluded))


def find_possible_lesions(
    flair: NDArray[np.float32], structures: NDArray[np.uint8], mapped: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return where a lesion may be: near the automatic map, or in bright white matter.

    The z of white matter is computed from its median and lower quartile, since lesions themselves
    lengthen the upper half of its distribution.

    Args:
        flair: (k, j, i), at `SPACING_MM`.
        structures: (k, j, i), codes of `Structure`.
        mapped: (k, j, i) bool, the automatic map.
    """
    excluded = _grow(mapped, GROWN_MM)
    tissues = np.array([-1 if t is None else int(t) for t in TISSUE_OF_STRUCTURE])[structures]
    white = tissues == Tissue.WHITE
    values = flair[white & ~excluded]
    if values.size:
        lower, median = np.percentile(values, [25, 50])
        z = (flair - median) / max(float(median - lower) / 0.6745, 1e-6)
        excluded |= _grow(white & (z > BRIGHT_Z), AROUND_BRIGHT_MM)
    return excluded & (structures > 0)


def crop_to_brain(head: Head, margin_mm: float = MARGIN_MM) -> Head:
    """Return a head cut to the box of its brain and a margin."""
    (box,) = ndimage.find_objects((head.structures > 0).astype(np.uint8))
    margin = round(margin_mm / SPACING_MM)
    box = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
    excluded = None if head.excluded is None else head.excluded[box]
    every = (slice(None), *box)
    return Head(head.images[every], head.structures[box], excluded)


def _grow(mask: NDArray[np.bool_], millimetres: float) -> NDArray[np.bool_]:
    """Return a mask grown by a distance, itself included."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=SPACING_MM) <= millimetres)


def _resample_to_t1(
    folder: Path, name: str, *, order: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a scan on the upright T1 grid, and where it was acquired; both (k, j, i)."""
    import nibabel
    from nibabel.nifti1 import Nifti1Image
    from nibabel.processing import resample_from_to

    grid = nibabel.as_closest_canonical(Nifti1Image.from_filename(folder / "t1.nii.gz"))
    scan = Nifti1Image.from_filename(folder / f"{name}.nii.gz")
    array = np.asarray(scan.dataobj, np.float32)
    found = resample_from_to(Nifti1Image(array, scan.affine), grid, order=order)
    field = resample_from_to(Nifti1Image(np.ones_like(array), scan.affine), grid, order=0)
    return (
        np.ascontiguousarray(np.asarray(found.dataobj, np.float32).T),
        np.asarray(field.dataobj).T > 0.5,
    )


def main(target: Path = ELDERLY, most: int | None = None) -> None:
    """Prepare the heads of old people."""
    write(target, read_elderly(most), modalities=MODALITIES)
    heads = read(target)
    excluded = sum(int(e.sum()) for e in heads.excluded) / sum(
        int((s > 0).sum()) for s in heads.structures
    )
    size = f"{target.stat().st_size / 1e6:.1f} MB"
    print(f"{target}: {size}, {len(heads.images)} heads, {excluded:.0%} of the brain excluded")


if __name__ == "__main__":
    import typer

    typer.run(main)
