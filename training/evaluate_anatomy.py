"""``python -m training.evaluate_anatomy``: the anatomy network on real scans whose brain or tissues are known.

The brain of the IXI calibration subjects as they are and made worse (6 mm slices, low contrast, turned by 20°, noisy), of a scan
with its own mask, and of gliomas, where the tumour must not be cut out of the brain.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import typer
from BrainSSLAnomalyLib.anatomy import Region
from BrainSSLAnomalyLib.imageio import read_scan
from BrainSSLAnomalyLib.network.anatomy import SPACING_MM, Structure, anatomy_network
from BrainSSLAnomalyLib.preparation.coarse import coarse_copy, foreground, largest_piece
from BrainSSLAnomalyLib.resampling import ras_matrix, resample
from BrainSSLAnomalyLib.study import Modality, Volume
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import nn

from .benchmark.cases import EVALUATION
from .benchmark.measures import dice
from .benchmark.preparation import intracranial
from .data import DATA, load, muse_regions

S = Structure
MULTIPLE = 16


def load_network(weights: Path) -> nn.Module:
    """The trained network, ready to look."""
    network = anatomy_network()
    network.load_state_dict(load_file(weights))
    return network.eval()


def structures(network: nn.Module, scan: Volume) -> Volume:
    """Codes of `Structure` on an upright 2 mm grid that holds the scan."""
    small = coarse_copy(scan, SPACING_MM)
    array = small.array - small.array.min()
    array = np.clip(array / max(float(np.median(array[foreground(small)])), 1e-6), 0, 6)
    margin = [(0, -n % MULTIPLE) for n in array.shape]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(torch.from_numpy(np.pad(array, margin))[None, None].float())
    found = logits.argmax(1)[0].numpy().astype(np.uint8)
    return small.with_array(found[tuple(slice(0, n) for n in array.shape)])


def brain_of(found: Volume) -> NDArray[np.bool_]:
    """Everything inside the skull: the largest piece, without holes."""
    return ndimage.binary_fill_holes(largest_piece(found.array > 0))


def worsened(scan: Volume) -> Iterator[tuple[str, Volume]]:
    """The scan as it is, and as worse scanners and patients give it."""
    rng = np.random.default_rng(0)
    yield "as it is", scan
    canonical = coarse_copy(scan, 1.5)
    thick = ndimage.uniform_filter1d(canonical.array, 4, axis=0)[1::4]
    affine = canonical.affine.copy()
    affine[:3, 3] += affine[:3, 2]
    affine[:3, 2] *= 4
    yield "6 mm slices", Volume(thick, affine)
    top = float(np.percentile(scan.array, 99))
    yield "low contrast", scan.with_array((np.clip(scan.array / top, 0, 1) ** 0.4).astype(np.float32))
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (20, 0, 20), degrees=True).as_matrix()
    yield "turned by 20°", Volume(scan.array, turn @ scan.affine)
    yield "noisy", scan.with_array(np.abs(scan.array + 0.12 * top * rng.standard_normal(scan.array.shape)).astype(np.float32))


def ixi(network: nn.Module, count: int) -> Iterator[tuple[str, str]]:
    """Brain in five guises, and tissues, of the calibration subjects."""
    brains: dict[str, list[float]] = {}
    deep = "caudate, lentiform, thalamus"
    tissues: dict[str, list[float]] = {"ventricles": [], deep: []}
    names = {
        "ventricles": range(Region.LEFT_LATERAL_VENTRICLE, Region.LEFT_CEREBELLUM),
        deep: range(Region.LEFT_CAUDATE, Region.LEFT_HIPPOCAMPUS),
    }
    members = {"ventricles": range(S.LEFT_VENTRICLE, S.LEFT_CEREBELLUM), deep: range(S.LEFT_STRIATUM, S.LEFT_HIPPOCAMPUS)}
    seconds = []
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "calibration").glob("*_T1.nii.gz"))[:count]:
        labels = load(next((DATA / "labels" / "ixi_dlmuse_2mm" / "calibration").glob(path.name.removesuffix("_T1.nii.gz") + "*")))
        known, regions = intracranial(labels), muse_regions()[labels.array.astype(int)]
        for guise, scan in worsened(load(path)):
            start = time.perf_counter()
            found = structures(network, scan)
            seconds.append(time.perf_counter() - start)
            back = np.eye(4) if guise != "turned by 20°" else scan.affine @ np.linalg.inv(labels.affine)
            seen = resample(found.with_array(brain_of(found).astype(np.float32)), labels.array.shape, labels.affine, back) > 0.5
            brains.setdefault(guise, []).append(dice(seen, known))
            if guise == "as it is":
                for name, wanted in members.items():
                    part = np.isin(found.array, list(wanted)).astype(np.float32)
                    here = resample(found.with_array(part), labels.array.shape, labels.affine) > 0.5
                    tissues[name].append(dice(here, np.isin(regions, list(names[name]))))
    for guise, scores in brains.items():
        yield f"IXI calibration, n = {len(scores)}, brain, {guise}", f"median {np.median(scores):.3f}, worst {min(scores):.3f}"
    for name, scores in tissues.items():
        yield f"IXI calibration, n = {len(scores)}, {name}", f"median {np.median(scores):.3f}, worst {min(scores):.3f}"
    yield "seconds a scan, network and back", f"{np.median(seconds):.1f}"


def patients(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Brain masks that came with patients."""
    case = EVALUATION / "ms_raw_12"
    common, matrix = load(case / "brain_mask_common.nii.gz"), ras_matrix(sitk.ReadTransform(str(case / "flair_to_common.txt")))
    flair = read_scan(case / "flair.nii.gz", Modality.FLAIR).volume
    found = structures(network, flair)
    seen = resample(found.with_array(brain_of(found).astype(np.float32)), flair.array.shape, flair.affine) > 0.5
    worlds = (matrix, np.linalg.inv(matrix))
    best = max(dice(seen, resample(common, flair.array.shape, flair.affine, w) > 0.5) for w in worlds)
    yield "ms_raw_12, FLAIR, brain", f"{best:.3f}"
    for name in ("glioma_0001", "glioma_0003"):
        scan = read_scan(EVALUATION / name / "flair.nii.gz", Modality.FLAIR).volume
        found = structures(network, scan)
        seen = resample(found.with_array(brain_of(found).astype(np.float32)), scan.array.shape, scan.affine) > 0.5
        known, lesion = (load(EVALUATION / name / f"{n}.nii.gz").array > 0 for n in ("brain_mask", "mask_classes"))
        yield f"{name}, FLAIR, brain", f"{dice(seen, known):.3f}, {(seen & lesion).sum() / lesion.sum():.3f} of the lesion inside"


def main(weights: Path = Path("results/anatomy/weights.safetensors"), subjects: int = 20) -> None:
    """Print every figure as it comes."""
    network = load_network(weights)
    typer.echo("| what | Dice |\n| --- | --- |")
    for figures in (ixi(network, subjects), patients(network)):
        for what, value in figures:
            typer.echo(f"| {what} | {value} |")


if __name__ == "__main__":
    typer.run(main)
