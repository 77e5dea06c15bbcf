"""Healthy scans drawn from label maps, and lesions in them, by NumPy.

The exceedance tables of the statistical detector and the fusion were made with this generator; the
networks learn from the torch one (`generator`). Every random number comes from the given generator:
same seed, same scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.contrast import TISSUE_BRIGHTNESS
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.phantom.noise import draw_smooth_noise
from numpy.typing import NDArray
from scipy import ndimage

from ..data.labels import freesurfer_tissue_table

GAIN = {Modality.T1: -0.45, Modality.T2: 1.0, Modality.PD: 0.35, Modality.FLAIR: 0.75}
"""Brightness of a lesion of strength 1, as a share of white matter's, beyond it."""


Change = Callable[[NDArray[np.float32], Modality, NDArray[np.float64]], NDArray[np.float32]]
"""From the clean image (k, j, i), its modality and the mean of each tissue to a changed image."""


@dataclass(frozen=True)
class DrawnScan:
    """A scan drawn from labels.

    Attributes:
        scans: modality → volume, aligned, all on one grid.
        tissues: (k, j, i) uint8 on the grid of the labels, tissue + 1, 0 for air.
        grid: affine of the labels.
    """

    scans: dict[Modality, Volume]
    tissues: NDArray[np.uint8]
    grid: NDArray[np.float64]


def draw_tissues(
    labels: Volume, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Draw tissues from a label map: warped smoothly, mirrored half of the time.

    Returns:
        (k, j, i) uint8 on the box of the brain, tissue + 1, and the affine of the box.
    """
    tissues = freesurfer_tissue_table()[labels.array.astype(int)]
    brain = (tissues > 0) & (tissues <= Tissue.CEREBELLUM_CORTEX + 1)
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    box = tuple(slice(max(0, s.start - 14), s.stop + 14) for s in box)
    affine = labels.affine.copy()
    affine[:3, 3] = (affine @ [box[2].start, box[1].start, box[0].start, 1])[:3]
    tissues = tissues[box]
    shift = np.stack([draw_smooth_noise(tissues.shape, 40, rng) * 2.0 for _ in range(3)])
    index = np.indices(tissues.shape, np.float32) + shift
    return ndimage.map_coordinates(tissues, index, order=0, mode="nearest"), affine


def draw_scan(
    labels: Volume,
    modalities: tuple[Modality, ...],
    rng: np.random.Generator,
    *,
    stripped: bool | None = None,
    change: Change | None = None,
) -> DrawnScan:
    """Draw a healthy scan in every modality.

    Args:
        labels: whole-head FreeSurfer labels at about 1 mm.
        modalities: aligned, contrasts varying independently.
        rng: source of every random choice.
        stripped: remove the skull; at random by default.
        change: puts lesions into the clean image before blur and noise.
    """
    tissues, affine = draw_tissues(labels, rng)
    shape = tissues.shape
    stripped = bool(rng.random() < 0.5) if stripped is None else stripped
    inside = (tissues > 0) & (tissues <= Tissue.CEREBELLUM_CORTEX + 1)
    brain = inside
    if stripped:
        parenchyma = brain & (tissues != Tissue.CSF + 1)
        brain = ndimage.binary_closing(parenchyma, iterations=3) | parenchyma
        grown = int(rng.integers(0, 3))
        brain = (ndimage.binary_dilation(brain, iterations=grown) if grown else brain) & inside
    rim = _draw_rim(tissues, rng)
    plexus = (tissues == Tissue.VENTRICLE + 1) & (draw_smooth_noise(shape, 5, rng) > 1.4)
    thick = float(rng.choice([1.0, 1.0, 2.0, 3.0, 5.0]))
    scans = {}
    for modality in modalities:
        means = np.array(TISSUE_BRIGHTNESS[modality]) * (
            1 + 0.06 * rng.standard_normal(len(Tissue))
        )
        image = np.concatenate([[0.02], means])[tissues].astype(np.float32)
        if modality is Modality.FLAIR:
            image[plexus] = means[Tissue.CORTEX] * rng.uniform(0.7, 1.15)
            image += rim * (means[Tissue.CORTEX] - means[Tissue.WHITE]) * rng.uniform(0.3, 1.4)
        elif modality is Modality.T2:
            image += rim * (means[Tissue.CORTEX] - means[Tissue.WHITE]) * rng.uniform(0.2, 0.8)
        for scale, strength in ((2, 0.025), (6, 0.03), (16, 0.03)):
            image *= 1 + strength * rng.random() * draw_smooth_noise(shape, scale, rng)
        head = tissues > Tissue.CEREBELLUM_CORTEX + 1
        image[head] *= (1 + 0.35 * draw_smooth_noise(shape, 8, rng))[head]
        if change is not None:
            image = change(image, modality, means)
        image *= np.exp(draw_smooth_noise(shape, 90, rng) * rng.uniform(0.02, 0.12))
        image = ndimage.gaussian_filter(np.maximum(image, 0), rng.uniform(0.3, 0.7))
        image += (
            rng.uniform(0.008, 0.04)
            * rng.standard_normal(shape, np.float32)
            * float(means[Tissue.WHITE])
        )
        image = np.abs(image) * rng.uniform(80, 1000)
        if stripped:
            image = image * brain
        scans[modality] = _thicken_slices(Volume(image.astype(np.float32), affine), thick)
    return DrawnScan(scans, tissues, affine)


def _draw_rim(tissues: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the normal bright rim of the ventricles, 0 to 1, stronger at the horns."""
    ventricle = tissues == Tissue.VENTRICLE + 1
    distance = ndimage.distance_transform_edt(~ventricle)
    width = rng.uniform(0.8, 2.2)
    patchy = np.clip(0.6 + 0.5 * draw_smooth_noise(tissues.shape, 18, rng), 0, 1.5)
    return np.where(
        (tissues == Tissue.WHITE + 1), np.exp(-((distance / width) ** 2)) * patchy, 0
    ).astype(np.float32)


def _thicken_slices(volume: Volume, thick: float) -> Volume:
    """Return slices of ``thick`` mm along the superior axis, as a 2D acquisition gives them."""
    if thick <= 1:
        return volume
    axis = 2 - int(np.argmax(np.abs(volume.affine[2, :3])))
    step = round(thick)
    array = ndimage.uniform_filter1d(volume.array, step, axis=axis)
    start = step // 2
    index = [slice(None)] * 3
    index[axis] = slice(start, None, step)
    affine = volume.affine.copy()
    column = 2 - axis
    affine[:3, 3] += affine[:3, column] * start
    affine[:3, column] *= step
    return Volume(np.ascontiguousarray(array[tuple(index)]), affine)


def draw_lesions(
    tissues: NDArray[np.uint8], rng: np.random.Generator, *, large: bool
) -> NDArray[np.float32]:
    """Draw a handful of small white-matter lesions near ventricles and cortex, or one large tumour.

    Args:
        tissues: (k, j, i) uint8, tissue + 1, at 1 mm.
        rng: source of every random choice.
        large: draw the tumour.

    Returns:
        Soft mask (k, j, i), 0 to 1.
    """
    white = tissues == Tissue.WHITE + 1
    mask = np.zeros(tissues.shape, np.float32)
    deep = white | np.isin(tissues, [Tissue.CORTEX + 1, Tissue.STRIATUM + 1, Tissue.THALAMUS + 1])
    near = np.exp(-ndimage.distance_transform_edt(tissues != Tissue.VENTRICLE + 1) / 8)
    weight = white * (0.15 + near)
    for _ in range(1 if large else int(rng.integers(3, 25))):
        centre = np.array(
            np.unravel_index(
                rng.choice(weight.size, p=(weight / weight.sum()).ravel()), weight.shape
            )
        )
        ml = (
            np.exp(rng.uniform(np.log(10), np.log(100)))
            if large
            else np.exp(rng.uniform(np.log(0.015), np.log(3)))
        )
        radius = np.cbrt(ml * 1000 * 3 / 4 / np.pi)
        reach = int(np.ceil(2 * radius)) + 2
        low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach, tissues.shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.indices([b - a for a, b in zip(low, high, strict=True)], np.float32)
        apart = np.sqrt(
            sum(
                ((grid[n] + low[n] - centre[n]) * s) ** 2
                for n, s in enumerate(rng.uniform(0.75, 1.3, 3))
            )
        )
        wobble = 0.25 * draw_smooth_noise(apart.shape, max(3.0, radius / 1.5), rng)
        blob = np.clip((1 + wobble - apart / radius) * radius / 1.2 + 0.5, 0, 1)
        mask[box] = np.maximum(mask[box], blob)
    allowed = deep if large else white | (deep & (rng.random() < 0.5))
    found: NDArray[np.float32] = mask * allowed
    return found


def add_penumbra(
    mask: NDArray[np.float32],
    white: NDArray[np.bool_],
    spacing: Sequence[float],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Add a fainter margin in the white matter around lesions, which raters leave out.

    Args:
        mask: (k, j, i) soft mask of the lesions, 0 to 1.
        white: (k, j, i) bool, white matter.
        spacing: of the voxels along k, j and i, in mm.
        rng: source of every random choice.
    """
    width, share = rng.uniform(1.0, 3.0), rng.uniform(0.0, 0.5)
    around = 2 * ndimage.gaussian_filter(mask, [width / mm for mm in spacing]).clip(0, 0.5)
    found: NDArray[np.float32] = np.maximum(mask, np.float32(share) * around * white)
    return found


def make_hyperintensity(
    mask: NDArray[np.float32], strength: float, rng: np.random.Generator
) -> Change:
    """Create a change that makes lesions bright on T2, PD and FLAIR, and dark on T1.

    Args:
        mask: (k, j, i) soft mask of the lesions, 0 to 1.
        strength: 1 for the `GAIN` of each contrast.
        rng: source of every random choice.
    """
    texture = 1 + 0.15 * draw_smooth_noise(mask.shape, 4, rng)

    def change(
        image: NDArray[np.float32], modality: Modality, means: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        white = means[Tissue.WHITE]
        target = white * (1 + GAIN[modality] * strength)
        found: NDArray[np.float32] = image * (1 - mask) + mask * target * texture
        return found

    return change
