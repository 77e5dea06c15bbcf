"""The anatomy network on real scans of known anatomy: ``python -m training.benchmark.anatomy``.

It measures the brain of the IXI calibration subjects as they are and degraded (6 mm slices, low
contrast, turned by 20°, noisy), of a scan with its own mask, and of gliomas, where the tumour must
not be cut out of the brain.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import typer
from BrainSSLAnomalyLib.core.anatomy import STRUCTURE_SPACING_MM, Structure
from BrainSSLAnomalyLib.core.resampling import ras_matrix, resample
from BrainSSLAnomalyLib.core.study import Modality, Volume
from BrainSSLAnomalyLib.imageio import read_scan
from BrainSSLAnomalyLib.network.anatomy import load_anatomy_predictor
from BrainSSLAnomalyLib.network.anatomy_network import AnatomyNetwork, torch_predictor
from BrainSSLAnomalyLib.preparation import AnatomyPredictor
from BrainSSLAnomalyLib.preparation.brain_mask import mask_from_probability
from BrainSSLAnomalyLib.preparation.canonical import canonical_copy
from BrainSSLAnomalyLib.preparation.parcellation import Parcellation, predict_parcellation
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..data.files import DATA, load
from .cases import EVALUATION
from .measures import dice
from .preparation import fill_intracranial

S = Structure


def load_network(weights: Path | None) -> AnatomyPredictor:
    """Load the shipped network, or one in training."""
    if weights is None:
        return load_anatomy_predictor()
    network = AnatomyNetwork()
    network.load_state_dict(load_file(weights))
    return torch_predictor(network.eval())


def parcellate(predictor: AnatomyPredictor, scan: Volume) -> Parcellation:
    """Predict the parcellation of a scan on any grid."""
    return predict_parcellation(predictor, canonical_copy(scan, STRUCTURE_SPACING_MM))


def resample_brain(
    parcellation: Parcellation, grid: Volume, world: NDArray | None = None
) -> NDArray[np.bool_]:
    """Return the brain mask on another grid, from the parcellation alone.

    `prepare` fits it to the intensities too.
    """
    mask = mask_from_probability(parcellation.intracranial).astype(np.float32)
    smooth = Volume(ndimage.gaussian_filter(mask, 0.7), parcellation.affine)
    brain: NDArray[np.bool_] = resample(smooth, grid.grid, world) > 0.5
    return brain


def degrade(scan: Volume) -> Iterator[tuple[str, Volume]]:
    """Yield the scan as it is, and as worse scanners and patients give it."""
    rng = np.random.default_rng(0)
    yield "as it is", scan
    canonical = canonical_copy(scan, 1.5)
    thick = ndimage.uniform_filter1d(canonical.array, 4, axis=0)[1::4]
    affine = canonical.affine.copy()
    affine[:3, 3] += affine[:3, 2]
    affine[:3, 2] *= 4
    yield "6 mm slices", Volume(thick, affine)
    top = float(np.percentile(scan.array, 99))
    yield (
        "low contrast",
        scan.with_array((np.clip(scan.array / top, 0, 1) ** 0.4).astype(np.float32)),
    )
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (20, 0, 20), degrees=True).as_matrix()
    yield "turned by 20°", Volume(scan.array, turn @ scan.affine)
    yield (
        "noisy",
        scan.with_array(
            np.abs(scan.array + 0.12 * top * rng.standard_normal(scan.array.shape)).astype(
                np.float32
            )
        ),
    )


TISSUES: dict[str, tuple[tuple[Structure, ...], tuple[int, ...]]] = {
    "cerebral white matter": ((S.LEFT_WHITE, S.RIGHT_WHITE), tuple(range(81, 96))),
    "cerebral cortex": (
        (S.LEFT_CORTEX, S.RIGHT_CORTEX, S.LEFT_HIPPOCAMPUS, S.RIGHT_HIPPOCAMPUS),
        (31, 32, 47, 48, *range(100, 208)),
    ),
    "ventricles": (
        (S.LEFT_VENTRICLE, S.RIGHT_VENTRICLE, S.MIDLINE_VENTRICLES),
        (4, 11, 49, 50, 51, 52),
    ),
    "deep grey matter": (
        tuple(S)[S.LEFT_STRIATUM : S.LEFT_HIPPOCAMPUS],
        (23, 30, 36, 37, 55, 56, 57, 58, 59, 60),
    ),
    "left hemisphere": ((S.LEFT_WHITE, S.LEFT_CORTEX), (*range(82, 95, 2), *range(101, 208, 2))),
}
"""Name → structures, and MUSE codes."""


def measure_ixi(predictor: AnatomyPredictor, count: int) -> Iterator[tuple[str, str]]:
    """Yield figures of healthy whole heads: brain in every condition, and tissues."""
    brains: dict[str, list[float]] = {}
    tissues: dict[str, list[float]] = {name: [] for name in TISSUES}
    seconds = []
    scans = sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))
    segmentations = DATA / "labels" / "ixi_dlmuse_2mm" / "calibration"
    for path in scans[:count]:
        labels = load(next(segmentations.glob(path.name.removesuffix("_T1.nii.gz") + "*")))
        known = fill_intracranial(labels)
        for condition, scan in degrade(load(path)):
            start = time.perf_counter()
            parcellation = parcellate(predictor, scan)
            seconds.append(time.perf_counter() - start)
            back: NDArray = (
                scan.affine @ np.linalg.inv(labels.affine)
                if condition == "turned by 20°"
                else np.eye(4)
            )
            brain = resample_brain(parcellation, labels, back)
            brains.setdefault(condition, []).append(dice(brain, known))
            if condition == "as it is":
                for name, (structures, codes) in TISSUES.items():
                    part = Volume(
                        parcellation.probability[list(structures)].sum(0), parcellation.affine
                    )
                    here = resample(part, labels.grid) > 0.5
                    tissues[name].append(dice(here, np.isin(labels.array, codes)))
    for what, scores in (
        {f"brain, {condition}": v for condition, v in brains.items()} | tissues
    ).items():
        yield (
            f"IXI calibration, n = {len(scores)}, {what}",
            f"median {np.median(scores):.3f}, worst {min(scores):.3f}",
        )
    yield "seconds a scan", f"{np.median(seconds):.1f}"


def measure_patients(predictor: AnatomyPredictor) -> Iterator[tuple[str, str]]:
    """Yield figures of brain masks that came with patients."""
    case = EVALUATION / "ms_raw_12"
    common, to_common = (
        load(case / "brain_mask_common.nii.gz"),
        ras_matrix(sitk.ReadTransform(str(case / "flair_to_common.txt"))),
    )
    for modality in (Modality.FLAIR, Modality.T1, Modality.T2):
        scan = read_scan(case / f"{modality.key}.nii.gz", modality).volume
        own: NDArray = np.eye(4)
        if modality is not Modality.FLAIR:
            own = np.linalg.inv(
                ras_matrix(sitk.ReadTransform(str(case / f"{modality.key}_to_flair.txt")))
            )
        brain = resample_brain(parcellate(predictor, scan), scan)
        ways = [
            w @ o for w in (to_common, np.linalg.inv(to_common)) for o in (own, np.linalg.inv(own))
        ]
        best = max(dice(brain, resample(common, scan.grid, w) > 0.5) for w in ways)
        yield f"ms_raw_12, {modality.value}, brain", f"{best:.3f}"
    for name in ("glioma_0001", "glioma_0003"):
        scan = read_scan(EVALUATION / name / "flair.nii.gz", Modality.FLAIR).volume
        brain = resample_brain(parcellate(predictor, scan), scan)
        known, lesion = (
            load(EVALUATION / name / f"{n}.nii.gz").array > 0
            for n in ("brain_mask", "mask_classes")
        )
        inside = (brain & lesion).sum() / lesion.sum()
        yield (
            f"{name}, FLAIR, brain",
            f"{dice(brain, known):.3f}, {inside:.3f} of the lesion inside",
        )


def main(weights: Path | None = None, subjects: int = 20) -> None:
    """Print every figure as it comes, of the shipped network or of other ``--weights``."""
    predictor = load_network(weights)
    typer.echo("| what | Dice |\n| --- | --- |")
    for figures in (measure_ixi(predictor, subjects), measure_patients(predictor)):
        for what, value in figures:
            typer.echo(f"| {what} | {value} |")


if __name__ == "__main__":
    typer.run(main)
