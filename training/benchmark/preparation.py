"""Brain masks, co-registration and registration: ``python -m training.benchmark.preparation``.

They are measured against what is known of some scans.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import typer
from BrainSSLAnomalyLib.core.resampling import ras_matrix, resample
from BrainSSLAnomalyLib.core.settings import AnatomySource, DetectionSettings
from BrainSSLAnomalyLib.core.study import Modality, Study, Volume
from BrainSSLAnomalyLib.detection.detect import anatomy_predictor
from BrainSSLAnomalyLib.imageio import read_scan
from BrainSSLAnomalyLib.preparation import AnatomyPredictor, PreparedStudy, prepare
from BrainSSLAnomalyLib.preparation.brain_mask import find_stripped_brain
from BrainSSLAnomalyLib.preparation.quality import likeness
from BrainSSLAnomalyLib.preparation.registration import (
    mean_displacement,
    register_to_template,
)
from BrainSSLAnomalyLib.preparation.template import load_template
from scipy import ndimage

from ..data.files import DATA, load
from .cases import EVALUATION, healthy, patients
from .measures import dice


def prepare_files(files: dict[Modality, Path], predictor: AnatomyPredictor | None) -> PreparedStudy:
    """Read and prepare scans."""
    return prepare(Study({m: read_scan(p, m) for m, p in files.items()}), predictor=predictor)


def fill_intracranial(labels: Volume) -> np.ndarray:
    """Fill the outline of an automatic segmentation, after closing it by 6 mm."""
    mask = labels.array > 0
    steps = round(6 / labels.spacing[0])
    wide = np.pad(mask, steps)
    closed = ndimage.binary_closing(wide, iterations=steps)
    filled: np.ndarray = ndimage.binary_fill_holes(closed)
    return filled[steps:-steps, steps:-steps, steps:-steps]


def measure_raw_scan(predictor: AnatomyPredictor | None) -> Iterator[tuple[str, str]]:
    """Yield figures of a scan as it left the scanner.

    They are of the brain mask, and of the transforms between modalities.
    """
    case = EVALUATION / "ms_raw_12"
    f, t1, t2 = Modality.FLAIR, Modality.T1, Modality.T2
    result = prepare_files({m: case / f"{m.key}.nii.gz" for m in (f, t1, t2)}, predictor)
    template = load_template()
    world = result.template_to_reference
    for m in (t1, t2):
        matrix = ras_matrix(sitk.ReadTransform(str(case / f"{m.key}_to_flair.txt")))
        found = result.reference_to_scan[m] @ world
        apart = min(
            mean_displacement(found, template, known @ world)
            for known in (matrix, np.linalg.inv(matrix))
        )
        yield (
            f"ms_raw_12, {m.value} to FLAIR, against the transform of the data set",
            f"{apart:.2f} mm",
        )
    common = load(case / "brain_mask_common.nii.gz")
    matrix = ras_matrix(sitk.ReadTransform(str(case / "flair_to_common.txt")))
    for name, scans in (
        ("three modalities", result),
        *((m.value, prepare_files({m: case / f"{m.key}.nii.gz"}, predictor)) for m in (f, t1, t2)),
    ):
        modality = scans.study.reference.modality
        to_flair = np.eye(4) if modality is f else np.linalg.inv(result.reference_to_scan[modality])
        grid = scans.reference
        best = max(
            dice(
                scans.brain_mask,
                resample(common, grid.grid, world @ to_flair) > 0.5,
            )
            for world in (matrix, np.linalg.inv(matrix))
        )
        yield f"ms_raw_12, {name}: brain mask Dice", f"{best:.3f}"


def measure_gliomas(predictor: AnatomyPredictor | None) -> Iterator[tuple[str, str]]:
    """Yield figures of stripped scans, against the masks that came with them."""
    for name in ("glioma_0001", "glioma_0003"):
        result = prepare_files({Modality.FLAIR: EVALUATION / name / "flair.nii.gz"}, predictor)
        known = load(EVALUATION / name / "brain_mask.nii.gz").array > 0
        yield f"{name}: brain mask Dice", f"{dice(result.brain_mask, known):.3f}"


def measure_ixi(predictor: AnatomyPredictor | None, count: int) -> Iterator[tuple[str, str]]:
    """Yield figures of healthy whole heads, against the outline of their automatic segmentation."""
    scores = []
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))[
        :count
    ]:
        label = next(
            (DATA / "labels" / "ixi_dlmuse_2mm" / "calibration").glob(
                path.name.removesuffix("_T1.nii.gz") + "*"
            )
        )
        scores.append(
            dice(
                prepare_files({Modality.T1: path}, predictor).brain_mask,
                fill_intracranial(load(label)),
            )
        )
    yield (
        f"IXI calibration, {len(scores)} subjects: brain mask Dice",
        f"median {np.median(scores):.3f}, worst {min(scores):.3f}",
    )


def measure_likeness() -> Iterator[tuple[str, str]]:
    """Yield how much every scan resembles a brain in its contrast.

    Phantoms are in the tests.
    """
    template = load_template()
    found: dict[Modality, list[float]] = {}
    for case in (*patients(everything=True), *healthy(2)):
        if len(case.scans) == 1:
            modality, path = next(iter(case.scans.items()))
            scan = read_scan(path, modality).volume
            world = register_to_template(
                scan, modality, template, with_skull=find_stripped_brain(scan) is None
            )
            found.setdefault(modality, []).append(likeness(scan, modality, world, template))
    for modality, values in found.items():
        yield (
            f"likeness of {len(values)} brains on {modality.value}",
            f"{min(values):.2f} to {max(values):.2f}",
        )


def main(subjects: int = 20, anatomy: AnatomySource = AnatomySource.NETWORK) -> None:
    """Print every figure as it comes."""
    predictor = anatomy_predictor(DetectionSettings(anatomy=anatomy))
    typer.echo("| what | measured |\n| --- | --- |")
    for figures in (
        measure_raw_scan(predictor),
        measure_gliomas(predictor),
        measure_likeness(),
        measure_ixi(predictor, subjects),
    ):
        for what, value in figures:
            typer.echo(f"| {what} | {value} |")


if __name__ == "__main__":
    typer.run(main)
