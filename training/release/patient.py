"""The maps of the synthetic patient: ``python -m training.release.patient``.

A person who does not exist. A label map of SynthSeg (Billot et al., Medical Image Analysis 86
(2023) 102789; https://github.com/BBillot/SynthSeg; Apache License 2.0) is mirrored, bent by several
millimetres, aged and given finer materials; the lesions of `phantom.lesions` are drawn in it. It
takes two minutes on one core. The same seed gives the same files.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from BrainSSLAnomalyLib.core.anatomy import TEMPLATE_GRID, Region
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.phantom.lesions import LESIONS
from BrainSSLAnomalyLib.preparation.template import load_template
from numpy.typing import NDArray

from ..data.files import DATA, load
from ..synthesis.invented_head import bend_head, refine_materials
from ..synthesis.planted_lesions import plant_lesions
from .anatomy import load_mni_t1, register_labels
from .bundle import RESOURCES

PHANTOM = RESOURCES / "Phantom"

SOURCE = DATA / "labels" / "synthseg" / "training_seg_10.nii.gz"
SEED = 11

EDGE_MM = 1.1
"""Edge of the voxels in template mm: the template is larger than people, these are 1 mm in them."""

HEAD_GRID = Grid(
    (192, 250, 180),
    np.array([[EDGE_MM, 0, 0, -98.5], [0, EDGE_MM, 0, -147], [0, 0, EDGE_MM, -98], [0, 0, 0, 1]]),
)
"""The whole head above the mouth, in template space."""

PUSH = 0.3
"""Share of its distance by which the tumour pushes its surroundings away."""


def draw_maps() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw materials and lesions of the synthetic patient, each (k, j, i) on `HEAD_GRID`."""
    rng = np.random.default_rng(SEED)
    labels = load(SOURCE)
    world = register_labels(labels, load_mni_t1())
    bent = bend_head(labels, HEAD_GRID, world, (LESIONS[0].centre, PUSH), rng)
    materials = refine_materials(bent, rng)
    return materials, plant_lesions(materials, HEAD_GRID, rng)


def save(path: Path, array: NDArray[np.uint8]) -> None:
    """Save (k, j, i) uint8 on `HEAD_GRID` as NIfTI."""
    image = nib.Nifti1Image(np.ascontiguousarray(array.T), HEAD_GRID.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def describe(lesions: NDArray[np.uint8]) -> list[str]:
    """Return one line a lesion: its volume, and the regions of the atlas that it lies in."""
    regions = resample(
        Volume(load_template().regions, TEMPLATE_GRID.affine), HEAD_GRID, nearest=True
    )
    lines = []
    for number, lesion in enumerate(LESIONS):
        inside = lesions == number + 1
        if number == 0:
            inside |= lesions > len(LESIONS)
        codes, counts = np.unique(regions[inside], return_counts=True)
        shares = ", ".join(
            f"{Region(int(c)).words} {n / counts.sum():.0%}"
            for n, c in sorted(zip(counts, codes, strict=True), reverse=True)[:3]
        )
        lines.append(f"{lesion.place}: {inside.sum() / 1000:.2f} ml, {shares}")
    return lines


def main() -> None:
    """Make the maps of the synthetic patient."""
    materials, lesions = draw_maps()
    PHANTOM.mkdir(parents=True, exist_ok=True)
    for name, array in (("materials", materials), ("lesions", lesions)):
        path = PHANTOM / f"{name}.nii.gz"
        save(path, array)
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    print("\n".join(describe(lesions)))


if __name__ == "__main__":
    main()
