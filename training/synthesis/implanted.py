"""Real healthy scans with implanted lesions.

They show what synthesis cannot: real texture, contrast and fluid, without a patient. The scans are
the IXI calibration T1, and the FLAIR and T2 of the one person that contrasts are checked against;
those kept as healthy test scans are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Tissue
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study, Volume
from BrainSSLAnomalyLib.phantom.noise import draw_smooth_noise
from BrainSSLAnomalyLib.preparation import PreparedStudy, prepare
from BrainSSLAnomalyLib.preparation.network_grid import brain_on, network_input
from numpy.typing import NDArray
from scipy import ndimage

from ..data.files import DATA, load
from .scans import GAIN, add_penumbra, draw_lesions

KEPT_TEXTURE = 0.3
"""Part of a scan's own texture that stays in a lesion."""

BIAS_FIELD_MM = 15.0
"""White matter is averaged over this distance, so that the brightness of lesions follows the bias
field.
"""


def healthy_scans() -> dict[Modality, Sequence[Path]]:
    """List the healthy scans of every contrast."""
    single = DATA / "healthy" / "singles"
    calibration = sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))
    return {
        Modality.FLAIR: [single / "a_FLAIR.nii.gz"],
        Modality.T2: [single / "a_T2.nii.gz"],
        Modality.T1: calibration,
    }


def draw_implanted_patient(seed: int) -> tuple[Study, Volume]:
    """Draw a healthy scan with implanted lesions, small ones for odd seeds, else a large one.

    Args:
        seed: its remainder by 3 gives the contrast: FLAIR, T2, T1.

    Returns:
        The study, and the lesions as a soft mask on its grid.
    """
    pair = draw_implanted_pair(seed)
    return pair.patient, pair.lesions


class ImplantedPair(NamedTuple):
    """Hold a healthy scan, and the same with implanted lesions.

    Attributes:
        healthy: the study without lesions.
        patient: the study with them.
        lesions: soft mask 0 to 1, on the grid of both.
    """

    healthy: Study
    patient: Study
    lesions: Volume


def draw_implanted_pair(seed: int) -> ImplantedPair:
    """Draw a healthy scan with and without lesions; seeds as for `draw_implanted_patient`."""
    rng = np.random.default_rng(seed)
    modality = tuple(healthy_scans())[seed % 3]
    path = healthy_scans()[modality][int(rng.integers(len(healthy_scans()[modality])))]
    healthy = Study({modality: Scan(load(path), modality, path.name)})
    prepared = prepare(healthy)
    mask = draw_lesions_in(prepared, rng, large=seed % 2 == 0)
    shown = add_penumbra(
        mask, prepared.posterior[Tissue.WHITE] > 0.5, prepared.reference.spacing, rng
    )
    scan = implant_lesions(prepared, shown, modality, float(rng.uniform(0.45, 1.1)), rng)
    name = f"{path.name}, lesions {seed}"
    patient = Study({modality: Scan(scan, modality, name)})
    return ImplantedPair(healthy, patient, scan.with_array(prepared.on_whole_grid(mask)))


def draw_lesions_in(
    prepared: PreparedStudy, rng: np.random.Generator, *, large: bool
) -> NDArray[np.float32]:
    """Draw lesions at 1 mm, whatever the slices of the scan.

    Returns:
        Soft mask (k, j, i) on the box of the brain, 0 to 1.
    """
    grid = network_input(prepared).grid
    posterior = [resample(prepared.box_volume(p), grid) for p in prepared.posterior]
    tissues = np.stack(posterior).argmax(0) + 1
    brain = brain_on(grid, prepared.box_volume(prepared.brain))
    mask = draw_lesions((tissues * brain).astype(np.uint8), rng, large=large)
    on_box = resample(Volume(mask.astype(np.float32), grid.affine), prepared.box_grid)
    lesions: NDArray[np.float32] = np.clip(on_box, 0, 1) * prepared.brain
    return lesions


def implant_lesions(
    prepared: PreparedStudy,
    mask: NDArray[np.float32],
    modality: Modality,
    strength: float,
    rng: np.random.Generator,
) -> Volume:
    """Return the scan with lesions that are brighter, or darker, than the white matter around.

    The difference is that of `scans.make_hyperintensity`.

    Args:
        prepared: the healthy study.
        mask: (k, j, i) on the box of the brain.
        modality: contrast of its reference.
        strength: about 0.4 to 1.1.
        rng: the only source of randomness.
    """
    scan = prepared.reference
    own = scan.array[prepared.box].astype(np.float32)
    white = (prepared.posterior[Tissue.WHITE] > 0.9).astype(np.float32)
    width = [BIAS_FIELD_MM / mm for mm in scan.spacing]
    level = ndimage.gaussian_filter(own * white, width) / np.maximum(
        ndimage.gaussian_filter(white, width), 1e-3
    )
    texture = 1 + 0.1 * draw_smooth_noise(mask.shape, 4, rng)
    wanted = level * (1 + GAIN[modality] * strength) * texture + KEPT_TEXTURE * (own - level)
    out = scan.array.astype(np.float32).copy()
    out[prepared.box] = own * (1 - mask) + mask * np.maximum(wanted, 0)
    return scan.with_array(out)
