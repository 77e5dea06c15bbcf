"""Results to files: whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import __version__
from ..core.anatomy import PatientAnatomy
from ..core.errors import BadResults, BrainSSLAnomalyError, ResultsExist
from ..core.results import Detection, LookedAt, MapName, Segmentation
from ..core.settings import (
    DetectionSettings,
    SegmentationSettings,
    segmentation_from_dict,
    to_dict,
)
from ..core.study import Modality, Scan, Volume

FORMAT_VERSION = 1
RESULT_FILE = "result.json"
EXPLANATIONS = "explanations"
"""Folder inside the results, with files whose names begin with ``finding_``."""
RESEARCH_USE = "Research use only, not for diagnosis."
_KNOWN = (
    "anomaly_score.nii.gz", "anomaly_mask.nii.gz", "brain_mask.nii.gz", "findings.nii.gz", "reference.nii.gz",
    "regions.nii.gz", "zones.nii.gz", "findings.csv", "regions.csv", RESULT_FILE, "report.html",
    *(f"zscore_{m.key}.nii.gz" for m in Modality), *(f"{m.value}.nii.gz" for m in MapName),
    *(f"network_input_{m.key}.nii.gz" for m in Modality),
)  # fmt: skip


def write_volume(path: Path, volume: Volume, dtype: DTypeLike) -> None:
    """A NIfTI-1 file, under a temporary name until it is whole."""
    from nibabel.nifti1 import Nifti1Image
    from nibabel.openers import Opener

    image = Nifti1Image(np.asarray(volume.array).T.astype(dtype), volume.affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, 1, strip_shears=True)
    image.set_sform(volume.affine, 1)
    level, Opener.default_compresslevel = Opener.default_compresslevel, 1
    handle, name = tempfile.mkstemp(
        suffix=".nii.gz" if path.name.endswith(".gz") else ".nii",
        prefix=".partial-",
        dir=path.parent,
    )
    os.close(handle)
    try:
        image.to_filename(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Opener.default_compresslevel = level
        Path(name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A UTF-8 text file, under a temporary name until it is whole."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place if all goes well, and vanishes if not.

    Files in an existing target that are not results of ours stay where they are.

    Raises:
        ResultsExist: the target holds results and ``overwrite`` is off.
        BrainSSLAnomalyError: the place cannot be written to.
    """
    target = Path(os.path.abspath(target))
    if target.exists() and not target.is_dir():
        raise ResultsExist(f"{target.name} is a file", "choose a folder for the results")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ResultsExist(
            f"the folder {target.name} is not empty",
            "choose another with --output, or add --overwrite",
        )
    missing = [p for p in (target.parent, *target.parent.parents) if not p.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}-partial-", dir=target.parent))
        stage.chmod(0o755)
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"{target.parent} cannot be written to ({error.strerror})",
            "choose another folder with --output",
        ) from error
    done = False
    try:
        yield stage
        if target.is_dir():
            for name in _KNOWN:
                if not (stage / name).exists():
                    (target / name).unlink(missing_ok=True)
            drop_explanations(target)
            for item in stage.iterdir():
                os.replace(item, target / item.name)
        else:
            os.replace(stage, target)
        done = True
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"the results could not be written ({error.strerror or error})",
            "check the free space and try again",
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if not done:
            for folder in missing:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def drop_explanations(folder: Path) -> None:
    """Take away the explanations of findings that are about to get other numbers."""
    inside = folder / EXPLANATIONS
    for path in inside.glob("finding_*"):
        if path.is_file():
            path.unlink()
    if inside.is_dir() and not any(inside.iterdir()):
        inside.rmdir()


def write_results(
    folder: Path,
    detection: Detection,
    segmentation: Segmentation,
    settings: SegmentationSettings,
    detection_settings: DetectionSettings,
    with_input: bool = False,
) -> None:
    """Every map and table of a detection, on the grid of its reference scan.

    Args:
        folder: where they go.
        detection, segmentation, settings, detection_settings: what is written.
        with_input: also what the network looked at, on its own grid, for explaining single findings.
    """
    grid = detection.reference
    write_volume(folder / "reference.nii.gz", grid, np.float32)
    write_volume(
        folder / "anomaly_score.nii.gz", grid.with_array(detection.anomaly_score), np.float32
    )
    write_volume(folder / "brain_mask.nii.gz", grid.with_array(detection.brain_mask), np.uint8)
    write_volume(folder / "regions.nii.gz", grid.with_array(detection.anatomy.regions), np.uint8)
    write_volume(folder / "zones.nii.gz", grid.with_array(detection.anatomy.zones), np.uint8)
    for modality, z in detection.zscores.items():
        write_volume(folder / f"zscore_{modality.key}.nii.gz", grid.with_array(z), np.float32)
    for name, array in detection.maps.items():
        write_volume(folder / f"{name.value}.nii.gz", grid.with_array(array), np.float32)
    looked_at = detection.looked_at if with_input else None
    for modality, image in looked_at.images.items() if looked_at else ():
        write_volume(
            folder / f"network_input_{modality.key}.nii.gz",
            Volume(image, looked_at.affine),
            np.float32,
        )  # type: ignore[union-attr]
    result: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "program": "BrainSSLAnomaly",
        "version": __version__,
        "use": RESEARCH_USE,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "detector": detection.detector,
        "detection_settings": to_dict(detection_settings),
        "reference_modality": detection.modality.value,
        "inputs": [
            {
                "modality": s.modality.value,
                "source": s.source,
                "sha256": s.sha256,
                "modality_guessed_from": s.guessed_from,
            }
            for s in detection.inputs
        ],
        "seconds": {k: round(v, 2) for k, v in detection.seconds.items()},
        "warnings": list(detection.warnings),
        "scan_p_value": detection.scan_p_value,
        "facts": dict(detection.facts),
        **({"network_input_axis": looked_at.axis} if looked_at else {}),
    }
    write_segmentation(folder, grid, segmentation, settings, result)


def write_segmentation(
    folder: Path,
    grid: Volume,
    segmentation: Segmentation,
    settings: SegmentationSettings,
    result: dict[str, Any],
) -> None:
    """The live half of the results: mask, findings and ``result.json`` (``result`` with the findings put in)."""
    write_volume(folder / "anomaly_mask.nii.gz", grid.with_array(segmentation.mask), np.uint8)
    write_volume(folder / "findings.nii.gz", grid.with_array(segmentation.labels), np.uint16)
    content = {
        **result,
        "segmentation_settings": to_dict(settings),
        "scan_score": segmentation.scan_score,
        "region_scores": dict(segmentation.region_scores),
        "total_volume_ml": round(sum(f.volume_ml for f in segmentation.findings), 4),
        "findings": [_plain(asdict(f)) for f in segmentation.findings],
    }
    write_text(folder / RESULT_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_results(folder: Path) -> tuple[Detection, SegmentationSettings, dict[str, Any]]:
    """What `write_results` wrote.

    Raises:
        BadResults: incomplete, damaged or made by something else.
    """
    from nibabel.nifti1 import Nifti1Image

    folder = Path(folder)
    again = "run detect again"
    if not (folder / RESULT_FILE).is_file():
        raise BadResults(
            f"{folder.name} holds no {RESULT_FILE}", "give a folder that detect has written"
        )

    def volume(name: str) -> Volume:
        image = Nifti1Image.from_filename(folder / f"{name}.nii.gz")
        return Volume(
            np.ascontiguousarray(np.asarray(image.dataobj).T), np.asarray(image.affine, float)
        )

    try:
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        if result["program"] != "BrainSSLAnomaly" or result["format"] != FORMAT_VERSION:
            raise BadResults(
                f"{folder.name} was written by another version ({result.get('version')})", again
            )
        reference = volume("reference")
        inputs = tuple(
            Scan(
                reference,
                Modality(i["modality"]),
                i["source"],
                i["sha256"],
                i["modality_guessed_from"],
            )
            for i in result["inputs"]
        )
        names = {m: f"network_input_{m.key}" for m in Modality}
        looked_at = {
            m: volume(name) for m, name in names.items() if (folder / f"{name}.nii.gz").is_file()
        }
        detection = Detection(
            reference=reference,
            modality=Modality(result["reference_modality"]),
            anomaly_score=volume("anomaly_score").array,
            brain_mask=volume("brain_mask").array > 0,
            zscores={s.modality: volume(f"zscore_{s.modality.key}").array for s in inputs},
            anatomy=PatientAnatomy(volume("regions").array, volume("zones").array),
            detector=result["detector"],
            inputs=inputs,
            seconds=result["seconds"],
            warnings=tuple(result["warnings"]),
            scan_p_value=result["scan_p_value"],
            maps={
                m: volume(m.value).array
                for m in MapName
                if (folder / f"{m.value}.nii.gz").is_file()
            },
            facts=result["facts"],
            looked_at=_looked_at(looked_at, result.get("network_input_axis")),
        )
        maps = (*detection.zscores.values(), *detection.maps.values())
        for array in (
            detection.anomaly_score,
            detection.brain_mask,
            *maps,
            detection.anatomy.regions,
        ):
            reference.with_array(array)
        return detection, segmentation_from_dict(result["segmentation_settings"]), result
    except BrainSSLAnomalyError:
        raise
    except Exception as error:  # any damage to any file
        words = (
            str(error).splitlines()[0][:100].rstrip(". ") if str(error) else type(error).__name__
        )
        raise BadResults(f"{folder.name} is incomplete or damaged ({words})", again) from error


def _looked_at(images: dict[Modality, Volume], axis: int | None) -> LookedAt | None:
    if not images or axis is None:
        return None
    first = next(iter(images.values()))
    return LookedAt(
        {m: first.with_array(image.array).array for m, image in images.items()},
        first.affine,
        int(axis),
    )


def _plain(value: Any) -> Any:
    """Enums as values, floats rounded: ready for JSON."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Modality):
        return value.value
    return round(float(value), 4) if isinstance(value, float) else value
