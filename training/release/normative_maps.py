"""Normative maps, what is usual at each place: ``python -m training.release.normative_maps``.

T1: the 60 healthy IXI training subjects are prepared and their z-scores brought to the template;
mean and spread over subjects, smoothed by 4 mm, are kept at 2 mm.

FLAIR: there is one real healthy scan to learn from. Its z-scores are made symmetric, smoothed by 4
mm and halved: on a second healthy person, from another scanner, the regression on the first has a
slope of 0.46 (correlation 0.48, ``--compare``). The limbic lobe is learned by it; thin places, such
as the septum, are smoothed away.

It takes about 8 minutes on two cores.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import typer
from BrainSSLAnomalyLib.core.anatomy import COARSE_GRID
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume
from BrainSSLAnomalyLib.detection.statistics import compute_zscores, scored_voxels
from BrainSSLAnomalyLib.scoring.normative_maps import MEAN_STEP, SD_STEP
from numpy.typing import NDArray
from scipy import ndimage

from ..data.files import DATA, load
from ..engine.processes import prepare_as_shipped, process_pool
from .anatomy import ANATOMY

FLAIR = Modality.FLAIR
SHRINKAGE = 0.5
"""Factor of the z-scores of one person."""
SMOOTHING_VOXELS = 2.0
"""Standard deviation of the smoothing."""
LARGEST_Z = 3.0
"""z-scores are cut at ± this: one subject with a cyst must not make the place unusual for all."""


def map_to_template(
    path: Path, modality: Modality
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map the z-scores of one subject to the coarse template grid.

    They are computed without any normative map.

    Returns:
        (z, brain), each (k, j, i).
    """
    prepared = prepare_as_shipped(Study({modality: Scan(load(path), modality, path.name)}))
    grid, world = prepared.reference, prepared.template_to_reference
    z = prepared.on_whole_grid(
        np.clip(compute_zscores(prepared, by_place=False)[modality], -LARGEST_Z, LARGEST_Z)
    )
    # The edge of one person is not reliable; over sixty people its errors cancel.
    scored = (
        prepared.on_whole_grid(scored_voxels(prepared).astype(np.float32))
        if modality is FLAIR
        else prepared.brain_mask.astype(np.float32)
    )
    values, inside = (resample(Volume(a, grid.affine), COARSE_GRID, world) for a in (z, scored))
    return values, (inside > 0.9).astype(np.float32)


def smooth_person(name: str, modality: Modality) -> NDArray[np.float32]:
    """Return the smooth, symmetric part of one healthy person's z-scores.

    Where nothing was scored it is 0.
    """
    z, scored = map_to_template(
        DATA / "healthy" / "singles" / f"{name}_{modality.value}.nii.gz", modality
    )
    total, count = (
        ndimage.gaussian_filter(a + a[..., ::-1], SMOOTHING_VOXELS) for a in (z * scored, scored)
    )
    return np.where(count > 0.3, total / np.maximum(count, 0.3), 0).astype(np.float32)


def measure_agreement() -> str:
    """Measure how well one healthy FLAIR predicts another, from another scanner."""
    first, second = smooth_person("a", FLAIR), smooth_person("b", FLAIR)
    both = (first != 0) & (second != 0)
    slope = np.polyfit(first[both], second[both], 1)[0]
    return f"slope {slope:.2f}, correlation {np.corrcoef(first[both], second[both])[0, 1]:.2f}"


def save(modality: Modality, mean: NDArray, sd: NDArray) -> None:
    """Write ``Resources/Anatomy/normative_<modality>.nii.gz``."""
    out = ANATOMY / f"normative_{modality.key}.nii.gz"
    means = np.clip(mean * MEAN_STEP + 128, 0, 255)
    spreads = np.clip(np.maximum(sd, 1) * SD_STEP, 0, 255)
    stored = np.stack([means, spreads]).round().astype(np.uint8)
    nib.save(nib.nifti1.Nifti1Image(stored.T, COARSE_GRID.affine), out)
    print(
        f"{out.name}: {out.stat().st_size / 1e3:.0f} kB; "
        f"mean {mean.min():.2f} to {mean.max():.2f} SD, spread up to {sd.max():.2f}"
    )


def learn_t1(workers: int) -> None:
    """Learn the map of T1 from all training subjects."""
    total, squares, count = (np.zeros(COARSE_GRID.shape, np.float32) for _ in range(3))
    paths = sorted((DATA / "healthy" / "ixi_t1_2mm" / "train").glob("*_T1.nii.gz"))
    with process_pool(workers) as pool:
        for n, (z, inside) in enumerate(
            pool.map(partial(map_to_template, modality=Modality.T1), paths), start=1
        ):
            total += z * inside
            squares += z**2 * inside
            count += inside
            print(f"{n} of {len(paths)}", flush=True)
    total, squares, count = (
        ndimage.gaussian_filter(a, SMOOTHING_VOXELS) for a in (total, squares, count)
    )
    known = count > 0.3 * len(paths)
    mean = np.where(known, total / np.maximum(count, 1), 0)
    sd = np.where(known, np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0)), 1)
    save(Modality.T1, mean, sd)


def main(workers: int = 2, only: str = "", compare: bool = False) -> None:
    """Write the maps of every contrast, or of one (``--only flair``).

    With ``--compare``, compare two healthy people instead.
    """
    if compare:
        print(measure_agreement())
        return
    if only in FLAIR.key:
        mean = SHRINKAGE * smooth_person("a", FLAIR)
        save(FLAIR, mean, np.ones_like(mean))
    if only in Modality.T1.key:
        learn_t1(workers)


if __name__ == "__main__":
    typer.run(main)
