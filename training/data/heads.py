"""An archive of real healthy heads and their structures: ``python -m training.data.heads``.

By default it holds 60 T1 of the IXI dataset with their DLMUSE labels, turned upright, as they are
(2 mm). With ``--folder`` it holds a site's own healthy scans, labelled by the shipped network. With
``--without results/outliers.json`` it leaves out those that ``training.data.outliers`` names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from BrainSSLAnomalyLib.core.anatomy import Structure
from BrainSSLAnomalyLib.core.files import replacing_file
from BrainSSLAnomalyLib.core.study import Modality
from numpy.typing import NDArray

from .files import DATA, load_upright
from .labels import muse_pair_table

HEADS = Path("results/heads.npz")
SPACING_MM = 2.0

_PAIRS: dict[str, tuple[int, ...]] = {
    "WHITE": (61, 81, 83, 85, 87, 89, 91, 93),
    "CORTEX": tuple(range(100, 208, 2)),
    "STRIATUM": (36, 23, 57, 76),
    "THALAMUS": (59, 55),
    "HIPPOCAMPUS": (47, 31),
    "VENTRICLE": (51, 49),
    "CEREBELLUM": (38, 40),
}
"""MUSE codes on the right."""

_MIDLINE: dict[Structure, tuple[int, ...]] = {
    Structure.CSF: (1, 46, 69),
    Structure.MIDLINE_VENTRICLES: (4, 11),
    Structure.BRAINSTEM: (35,),
}
_HALVED = {"WHITE": (95,), "CEREBELLUM": (71, 72, 73)}
"""Callosum and vermis, which belong to both sides."""


@dataclass(frozen=True)
class HealthyHeads:
    """Upright heads at 2 mm; axes rise to superior, anterior, right.

    Attributes:
        images: each (m, k, j, i) uint8.
        structures: each (k, j, i) uint8, codes of `Structure`.
        excluded: each (k, j, i) bool, voxels that are not known to be healthy.
        modalities: the m contrasts of every head; the first is T1.
    """

    images: tuple[NDArray[np.uint8], ...]
    structures: tuple[NDArray[np.uint8], ...]
    excluded: tuple[NDArray[np.bool_], ...]
    modalities: tuple[Modality, ...] = (Modality.T1,)


class Head(NamedTuple):
    """One head to be stored.

    Attributes:
        images: (m, k, j, i) float32.
        structures: (k, j, i) uint8, codes of `Structure`.
        excluded: (k, j, i) bool, voxels that are not known to be healthy; None for none.
    """

    images: NDArray[np.float32]
    structures: NDArray[np.uint8]
    excluded: NDArray[np.bool_] | None = None


def structures_of_muse(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return codes of `Structure`.

    Args:
        labels: (k, j, i) MUSE codes, upright: i rises to the right.
    """
    table = muse_pair_table(_PAIRS, Structure)
    for structure, codes in _MIDLINE.items():
        table[list(codes)] = structure
    out: NDArray[np.uint8] = table[labels]
    right = np.arange(labels.shape[2]) > np.nonzero(labels)[2].mean()
    for name, codes in _HALVED.items():
        both = np.isin(labels, codes)
        out[both & right] = Structure[f"RIGHT_{name}"]
        out[both & ~right] = Structure[f"LEFT_{name}"]
    return out


def find_scans(folder: Path) -> list[Path]:
    """List every scan in a folder, by name."""
    return sorted(
        p for p in folder.iterdir() if p.name.endswith((".nii", ".nii.gz", ".nrrd", ".mha"))
    )


def read_ixi(most: int | None = None, without: Collection[str] = ()) -> Iterator[Head]:
    """Yield the training subjects of IXI, without files of some names."""
    for path in sorted((DATA / "healthy" / "ixi_t1_2mm" / "train").glob("*_T1.nii.gz"))[:most]:
        if path.name in without:
            continue
        labels = load_upright(
            DATA / "labels" / "ixi_dlmuse_2mm" / "train" / path.name.replace("_T1", "_DLMUSE")
        )
        yield Head(load_upright(path)[None], structures_of_muse(labels.astype(np.int64)))


def read_folder(folder: Path, without: Collection[str] = ()) -> Iterator[Head]:
    """Yield every scan in a folder with structures by the shipped network.

    Files of some names are left out.
    """
    from BrainSSLAnomalyLib.imageio import read_scan
    from BrainSSLAnomalyLib.network.anatomy import load_anatomy_predictor
    from BrainSSLAnomalyLib.preparation.canonical import canonical_copy
    from BrainSSLAnomalyLib.preparation.parcellation import predict_parcellation

    predictor = load_anatomy_predictor()
    for path in find_scans(folder):
        if path.name in without:
            continue
        # The network does not depend on the contrast.
        small = canonical_copy(read_scan(path, Modality.T1).volume, SPACING_MM)
        yield Head(small.array[None], predict_parcellation(predictor, small).labels)


def fingerprint(image: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a head as the archive holds it.

    Heads are identified by it, since the archive holds no names.
    """
    return hashlib.sha256(
        str(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    ).hexdigest()


def read_outliers(outliers: Path) -> frozenset[str]:
    """Read names and fingerprints of the scans that ``training.data.outliers`` names.

    Raises:
        SystemExit: no such file, or another one.
    """
    try:
        scans = json.loads(outliers.read_text(encoding="utf-8"))["scans"]
        return frozenset(
            known for s in scans if s["outlier"] for known in (s["fingerprint"] or s["name"],)
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"{outliers} cannot be read ({type(error).__name__}): "
            "make it by python -m training.data.outliers."
        ) from error


def write(
    target: Path,
    heads: Iterable[Head],
    without: Collection[str] = (),
    modalities: Sequence[Modality] = (Modality.T1,),
) -> None:
    """Write the archive, about 0.6 MB a scan, without heads of some fingerprints.

    Raises:
        SystemExit: there is no head to write.
    """
    arrays: dict[str, NDArray[np.generic]] = {"modalities": np.array([m.value for m in modalities])}
    count = 0
    for head in heads:
        stored = np.stack([_as_bytes(image) for image in head.images])
        if fingerprint(stored) in without:
            continue
        arrays[f"image_{count:03d}"], arrays[f"structures_{count:03d}"] = stored, head.structures
        if head.excluded is not None:
            arrays[f"excluded_{count:03d}"] = head.excluded
        count += 1
    if not count:
        raise SystemExit("No scan was found: give a folder with NIfTI, NRRD or MetaImage files.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing_file(target) as partial:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]


def _as_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image scaled to 0–255, its brightest 0.3 % cut off."""
    low = float(image.min())
    top = max(float(np.percentile(image - low, 99.7)), 1e-6)
    scaled: NDArray[np.float32] = np.clip((image - low) / top * 255, 0, 255)
    return scaled.astype(np.uint8)


def read(path: Path = HEADS) -> HealthyHeads:
    """Read the archive."""
    with np.load(path) as content:
        names = sorted(n.removeprefix("image_") for n in content.files if n.startswith("image_"))
        structures = tuple(content[f"structures_{n}"] for n in names)
        excluded = tuple(
            content[f"excluded_{n}"]
            if f"excluded_{n}" in content.files
            else np.zeros(s.shape, bool)
            for n, s in zip(names, structures, strict=True)
        )
        modalities = tuple(Modality(str(m)) for m in content["modalities"])
        return HealthyHeads(
            tuple(content[f"image_{n}"] for n in names), structures, excluded, modalities
        )


def main(target: Path = HEADS, folder: Path | None = None, without: Path | None = None) -> None:
    """Prepare the heads, or those of ``--folder``, without those that ``--without`` names."""
    gone = read_outliers(without) if without else frozenset()
    write(target, read_ixi(without=gone) if folder is None else read_folder(folder, gone), gone)
    size = f"{target.stat().st_size / 1e6:.1f} MB"
    print(f"{target}: {size}, {len(read(target).images)} heads, {len(gone)} to be left out")


if __name__ == "__main__":
    import typer

    typer.run(main)
