"""Learn what is usual at each place on T1: ``python -m training.build_healthy_places`` (about 6 minutes on two cores).

The 60 healthy IXI training subjects are prepared and their z-scores brought to the template; mean and spread over subjects,
smoothed by 4 mm, are kept at 2 mm. Real healthy FLAIR and T2 are too few for this: there the anatomy alone speaks.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import typer
from BrainSSLAnomalyLib.detector import zscore_maps
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.preparation.template import COARSE_AFFINE, COARSE_SHAPE
from BrainSSLAnomalyLib.resampling import resample
from BrainSSLAnomalyLib.scoring.places import MEAN_STEP, SD_STEP
from BrainSSLAnomalyLib.study import Modality, Scan, Study, Volume
from numpy.typing import NDArray
from scipy import ndimage

from .build_anatomy import OUT
from .data import DATA, load

SMOOTHING_VOXELS = 2.0
LARGEST = 3.0
"""z-scores are cut at ± this: one subject with a cyst must not make the place unusual for all."""


def on_template(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(z, brain) of one subject on the coarse template grid."""
    prepared = prepare(Study({Modality.T1: Scan(load(path), Modality.T1, path.name)}))
    grid, world = prepared.reference, prepared.template_to_reference
    z = prepared.whole(np.clip(zscore_maps(prepared, by_place=False)[Modality.T1], -LARGEST, LARGEST))
    brain = prepared.brain_mask.astype(np.float32)
    values, inside = (resample(Volume(a, grid.affine), COARSE_SHAPE, COARSE_AFFINE, world) for a in (z, brain))
    return values, (inside > 0.9).astype(np.float32)


def main(workers: int = 2) -> None:
    """Write ``Resources/Anatomy/places_t1.nii.gz``."""
    out = OUT / "places_t1.nii.gz"
    total, squares, count = (np.zeros(COARSE_SHAPE, np.float32) for _ in range(3))
    paths = sorted((DATA / "healthy" / "ixi_t1_2mm" / "train").glob("*_T1.nii.gz"))
    with ProcessPoolExecutor(workers) as pool:
        for n, (z, inside) in enumerate(pool.map(on_template, paths), start=1):
            total += z * inside
            squares += z**2 * inside
            count += inside
            print(f"{n} of {len(paths)}", flush=True)
    total, squares, count = (ndimage.gaussian_filter(a, SMOOTHING_VOXELS) for a in (total, squares, count))
    known = count > 0.3 * len(paths)
    mean = np.where(known, total / np.maximum(count, 1), 0)
    sd = np.where(known, np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0)), 1)
    stored = np.stack([np.clip(mean * MEAN_STEP + 128, 0, 255), np.clip(np.maximum(sd, 1) * SD_STEP, 0, 255)]).round().astype(np.uint8)
    nib.save(nib.nifti1.Nifti1Image(stored.T, COARSE_AFFINE), out)
    print(
        f"{out.name}: {out.stat().st_size / 1e3:.0f} kB; mean {mean[known].min():.2f} to {mean[known].max():.2f} SD, "
        f"spread up to {sd[known].max():.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
