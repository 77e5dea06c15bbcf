"""The bundled anatomy, learned from label maps: ``python -m training.release.anatomy``.

Each label map is drawn as a T1-like brain, registered affinely to the MNI152 T1 that ships with
nilearn (space only: no intensity of it is kept), and its tissues are averaged on the template grid.
Lobes come from the IXI training subjects with their MUSE labels. It takes about 5 minutes on two
cores.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from BrainSSLAnomalyLib.core.anatomy import (
    COARSE_GRID,
    INTRACRANIAL,
    TEMPLATE_GRID,
    Region,
    Tissue,
)
from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS
from BrainSSLAnomalyLib.core.resampling import ras_matrix, resample, to_sitk
from BrainSSLAnomalyLib.core.study import Modality, Volume
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from ..data.files import DATA, load
from ..data.labels import (
    MUSE_BRAINSTEM,
    MUSE_CEREBELLUM_MIDLINE,
    freesurfer_tissue_table,
    muse_region_table,
)
from .bundle import RESOURCES

ANATOMY = RESOURCES / "Anatomy"


def load_mni_t1() -> sitk.Image:
    """Load the skull-stripped MNI152 T1 at 2 mm."""
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=2)
    found: sitk.Image = to_sitk(Volume(np.asarray(image.dataobj, np.float32).T, image.affine))
    return found


def register_to_mni(moving: Volume, mni: sitk.Image) -> NDArray[np.float64]:
    """Register two T1-like brains by the correlation of their intensities.

    Args:
        moving: a brain.
        mni: the MNI152 T1.

    Returns:
        (4, 4): RAS mm of MNI → RAS mm of ``moving``.
    """
    fixed, image = mni, to_sitk(moving)
    start = sitk.CenteredTransformInitializer(
        fixed, image, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25, 1)  # seed; the clock by default
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 200, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 1])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(True)
    method.SetInitialTransform(start, inPlace=False)
    found: NDArray[np.float64] = ras_matrix(method.Execute(fixed, image))
    return found


def register_labels(labels: Volume, mni: sitk.Image) -> NDArray[np.float64]:
    """Register a label map, drawn as a T1-like brain, to MNI.

    Returns:
        (4, 4): RAS mm of MNI → RAS mm of the labels.
    """
    tissues = freesurfer_tissue_table()[labels.array.astype(int)]
    brain = np.zeros(tissues.shape, np.float32)
    for tissue in INTRACRANIAL:
        brain[tissues == tissue + 1] = TISSUE_BRIGHTNESS[Modality.T1][tissue]
    brain[(tissues == Tissue.CSF + 1) & ~ndimage.binary_dilation(brain > 0.5, iterations=2)] = 0
    half = ndimage.zoom(brain, 0.5, order=1, grid_mode=True, mode="nearest")
    affine = labels.affine @ np.array(
        [[2.0, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 2, 0.5], [0, 0, 0, 1]]
    )
    return register_to_mni(Volume(half, affine), mni)


def map_tissues(labels: Volume, mni: sitk.Image) -> NDArray[np.float32]:
    """Map the tissues of one label map to the coarse grid, (11, k, j, i)."""
    tissues = freesurfer_tissue_table()[labels.array.astype(int)]
    world = register_labels(labels, mni)
    maps = np.zeros((len(Tissue), *COARSE_GRID.shape), np.float32)
    for tissue in Tissue:
        smooth = ndimage.gaussian_filter((tissues == tissue + 1).astype(np.float32), 0.7)
        maps[tissue] = resample(Volume(smooth, labels.affine), COARSE_GRID, world)
    return maps


def measure_distance(mask: NDArray[np.bool_], limit: float = 60.0) -> NDArray[np.float32]:
    """Measure the distance to a mask in mm on the coarse grid, cut at ``limit``."""
    if not mask.any():
        return np.full(mask.shape, limit, np.float32)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=2.0)
    return np.minimum(distance, limit).astype(np.float32)


def learn_tissues() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Average tissues and distances over all label maps and their mirror images.

    Returns:
        Tissue probabilities (11, k, j, i), and distances to ventricle and cortex (2, k, j, i).
    """
    mni = load_mni_t1()
    heads, brains, distances = [], [], []
    for path in track(
        sorted((DATA / "labels" / "synthseg").glob("training_seg_*.nii.gz")), "Whole heads"
    ):
        maps = map_tissues(load(path), mni)
        heads.append(maps)
        names = maps.argmax(0)
        present = maps.max(0) > 0.3
        masks = ((names == tissue) & present for tissue in (Tissue.VENTRICLE, Tissue.CORTEX))
        distances.append(np.stack([measure_distance(mask) for mask in masks]))
    for path in track(sorted((DATA / "labels" / "synthsr").glob("brain*_labels.nii.gz")), "Brains"):
        brains.append(map_tissues(load(path), mni))
    mean = np.mean(heads, 0)
    # Brain-only maps lack what surrounds the brain: they count for the tissues inside it alone.
    inner = [t for t in INTRACRANIAL if t is not Tissue.CSF]
    both = np.concatenate([np.stack(heads)[:, inner], np.stack(brains)[:, inner]])
    shared = both.mean(0)
    scale = mean[inner].sum(0) / np.maximum(shared.sum(0), 1e-6)
    mean[inner] = np.where(shared.sum(0) > 1e-3, shared * scale, 0)
    mean = (mean + mean[..., ::-1]) / 2
    apart = np.mean(distances, 0)
    return mean.astype(np.float32), ((apart + apart[..., ::-1]) / 2).astype(np.float32)


def learn_lobes() -> NDArray[np.float32]:
    """Average the regions of the IXI training subjects on the template grid at 2 mm.

    Returns:
        (32, k, j, i) probability of each region.
    """
    mni = load_mni_t1()
    votes = np.zeros((len(Region), *COARSE_GRID.shape), np.float32)
    table = muse_region_table()
    paths = sorted((DATA / "labels" / "ixi_dlmuse_2mm" / "train").glob("*_DLMUSE.nii.gz"))[:30]
    for path in track(paths, "Lobes"):
        labels = load(path)
        scan = load(DATA / "healthy" / "ixi_t1_2mm" / "train" / path.name.replace("_DLMUSE", "_T1"))
        codes = labels.array.astype(int)
        world = register_to_mni(Volume(scan.array * (codes > 1), scan.affine), mni)
        regions = table[codes]
        r = find_right_side(labels, codes)
        regions[codes == MUSE_BRAINSTEM] = np.where(
            r, Region.RIGHT_BRAINSTEM, Region.LEFT_BRAINSTEM
        )[codes == MUSE_BRAINSTEM]
        vermis = np.isin(codes, MUSE_CEREBELLUM_MIDLINE)
        regions[vermis] = np.where(r, Region.RIGHT_CEREBELLUM, Region.LEFT_CEREBELLUM)[vermis]
        for region in np.unique(regions[regions > 0]):
            votes[region] += resample(
                Volume((regions == region).astype(np.float32), labels.affine),
                COARSE_GRID,
                world,
            )
    return (votes / len(paths)).astype(np.float32)


def find_right_side(labels: Volume, codes: NDArray) -> NDArray[np.bool_]:
    """Return which voxels lie right of the midline, in the scan's own space.

    The midline is the plane through corpus callosum, brainstem and third ventricle.
    """
    k, j, i = np.nonzero(np.isin(codes, (95, MUSE_BRAINSTEM, 4, 11)))
    middle = (labels.affine @ np.stack([i, j, k, np.ones_like(i)]))[0].mean()
    grid = np.indices(codes.shape)
    right = sum(labels.affine[0, n] * grid[2 - n] for n in range(3)) + labels.affine[0, 3]
    found: NDArray[np.bool_] = right > middle
    return found


def make_region_map(votes: NDArray[np.float32], tissues: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return one code a voxel on the template grid.

    It is the likeliest region, or the nearest lobe where none was found inside the skull.
    """
    inside = tissues[list(INTRACRANIAL)].sum(0) > 0.05
    smooth = np.stack([ndimage.gaussian_filter(v, 1.0) for v in votes])
    winner = smooth.argmax(0).astype(np.uint8)
    known = smooth.max(0) > 0.02
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    codes = np.where(inside, winner[tuple(nearest)], 0)
    fine = np.zeros(TEMPLATE_GRID.shape, np.uint8)
    best = np.zeros(TEMPLATE_GRID.shape, np.float32)
    # Each region is enlarged smoothly, then the strongest wins: no 2 mm stairs.
    for code in np.unique(codes[codes > 0]):
        smooth_code = ndimage.gaussian_filter((codes == code).astype(np.float32), 0.6)
        grown = resample(Volume(smooth_code, COARSE_GRID.affine), TEMPLATE_GRID)
        better = grown > np.maximum(best, 0.25)
        fine[better], best[better] = code, grown[better]
    return fine


def save(name: str, array: NDArray[np.uint8], affine: NDArray[np.float64]) -> None:
    """Save (…, k, j, i) uint8 as NIfTI."""
    ANATOMY.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.ascontiguousarray(array.T), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, ANATOMY / name)


def main() -> None:
    """Make every file of the bundled anatomy."""
    tissues, distances = learn_tissues()
    quantised = (
        np.clip(np.round(tissues * 85), 0, 85).astype(np.uint8) * 3
    )  # steps of 1/85: half the file size
    save("tissues.nii.gz", quantised, COARSE_GRID.affine)
    save(
        "distances.nii.gz",
        np.clip(np.round(distances * 4), 0, 255).astype(np.uint8),
        COARSE_GRID.affine,
    )
    save("regions.nii.gz", make_region_map(learn_lobes(), tissues), TEMPLATE_GRID.affine)
    for path in sorted(ANATOMY.glob("*.nii.gz")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
