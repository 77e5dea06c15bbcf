"""A synthetic patient, drawn from the bundled map of a head that nobody has.

It needs no data and no network connection: for a first try, for tutorials and for checking an
installation. It is easier than a patient, so a Dice measured on it shows that the program works,
not how well. ``python -m training.release.patient`` makes the maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..core.grid import Grid
from ..core.resources import resource
from ..core.study import Modality, Scan, Study, Volume
from .drawing import acquire, average_blocks, draw_contrast, draw_texture
from .noise import draw_smooth_field

MODALITIES = (Modality.FLAIR, Modality.T1, Modality.T2)

SCALE = 400.0
"""Stored intensity of a brightness of 1."""

FIELD_OF_VIEW_MM = (176, 232, 184)
"""Along (k, j, i)."""

CORNER_MM = (92.0, -126.0, -70.0)
"""RAS place of the first voxel."""

BEND_MM, BEND_STRENGTH_MM = 35.0, 1.2
"""Size and standard deviation of the deformation that differs from seed to seed."""


@dataclass(frozen=True)
class Head:
    """Hold the bundled maps.

    Attributes:
        materials: (k, j, i) uint8 codes of `Material`.
        lesions: (k, j, i) uint8, 0 or code of a lesion: number in `LESIONS` + 1, or `CORE_CODE`.
        grid: of both; its world is that of the template, so that its voxels are larger than the
            1 mm that they are in the patient.
    """

    materials: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    grid: Grid


@lru_cache(maxsize=1)
def load_head() -> Head:
    """Return the bundled maps; reads them once (about 0.2 s)."""
    from nibabel.nifti1 import Nifti1Image

    images = [
        Nifti1Image.from_filename(resource("Phantom", f"{name}.nii.gz"))
        for name in ("materials", "lesions")
    ]
    materials, lesions = (np.ascontiguousarray(np.asarray(n.dataobj, np.uint8).T) for n in images)
    return Head(materials, lesions, Grid(materials.shape, np.asarray(images[0].affine, float)))


def synthetic_patient(seed: int = 0, spacing: float = 1.0) -> tuple[Study, Volume]:
    """Draw FLAIR, T1 and T2 of a synthetic patient, with lesions.

    Args:
        seed: same seed, same patient; another seed is another pose, shape, noise and brightness.
        spacing: edge of the cubic voxels, in mm.

    Returns:
        The study (whole head, on one grid that is turned by a few degrees against the template) and
        the lesion mask on that grid, (k, j, i) uint8.

    Example:
        >>> study, lesions = synthetic_patient(seed=1, spacing=4.0)
        >>> [m.value for m in study.modalities], lesions.array.shape
        (['FLAIR', 'T2', 'T1'], (44, 58, 46))
    """
    rng = np.random.default_rng(seed)
    head, factor = load_head(), max(1, int(spacing))
    grid = _scan_grid(spacing)
    place = _places_in_head(head.grid, grid, rng)
    place = ((place + 0.5) / factor - 0.5).astype(np.float32)
    texture = draw_texture(head.materials, rng, factor=factor)
    scans = {}
    for modality in MODALITIES:
        clean = draw_contrast(head.materials, head.lesions, texture, modality, rng)
        image = acquire(_sample(clean, place), modality, spacing, rng)
        volume = Volume((image * SCALE).astype(np.int16), grid.affine)
        scans[modality] = Scan(volume, modality, f"synthetic patient {seed}, {modality.value}")
    share = _sample(average_blocks((head.lesions > 0).astype(np.float32), factor), place)
    return Study(scans), Volume((share > 0.5).astype(np.uint8), grid.affine)


def _scan_grid(spacing: float) -> Grid:
    """Return the grid of the scans, in RAS mm of the patient."""
    affine = np.diag([-spacing, spacing, spacing, 1.0])
    affine[:3, 3] = CORNER_MM
    k, j, i = (round(mm / spacing) for mm in FIELD_OF_VIEW_MM)
    return Grid((k, j, i), affine)


def _places_in_head(head: Grid, grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return where each voxel of a scan lies in the head.

    Args:
        head: grid of the bundled maps, in template RAS mm.
        grid: of the scan.
        rng: the only source of randomness.

    Returns:
        (3, k, j, i), index on the grid of the maps.
    """
    spacing = grid.spacing[0]
    bent = np.indices(grid.shape, np.float32)
    for axis in bent:
        axis += draw_smooth_field(grid.shape, BEND_MM / spacing, rng) * BEND_STRENGTH_MM / spacing
    index = (np.linalg.inv(head.affine) @ _random_pose(rng) @ grid.affine).astype(np.float32)
    turned = np.tensordot(index[:3, :3][::-1, ::-1], bent, 1)
    place: NDArray[np.float32] = turned + index[:3, 3][::-1, None, None, None]
    return place


def _random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return RAS mm of the patient → RAS mm of the template: a smaller head, turned by up to 6°."""
    turn = Rotation.from_euler("xyz", rng.uniform(-6, 6, 3), degrees=True)
    pose = np.eye(4)
    pose[:3, :3] = turn.as_matrix() @ np.diag(rng.uniform(1.05, 1.15, 3))
    pose[:3, 3] = rng.uniform(-4, 4, 3)
    return pose


def _sample(array: NDArray[np.float32], place: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an array (k, j, i) interpolated at places (3, ...), 0 outside."""
    found: NDArray[np.float32] = ndimage.map_coordinates(
        array, place, np.float32, order=1, mode="constant"
    )
    return found
