"""Folders of results: written whole or not at all, and read again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core.anatomy import PatientAnatomy
from ..core.errors import BadResults, BrainSSLAnomalyError, ResultsExist
from ..core.files import move_into, sha256, write_text
from ..core.progress import StageTime
from ..core.records import (
    detection_from_record,
    detection_to_record,
    segmentation_from_dict,
    times_to_record,
    to_dict,
)
from ..core.results import Detection, MapName, NetworkInput, Segmentation
from ..core.settings import SegmentationSettings
from ..core.study import Modality, Volume
from ..core.version import __version__
from .nifti import read_volume, write_volume

PROGRAM = "BrainSSLAnomaly"
FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
RESULT_FILE = "result.json"
EXPLANATIONS = "explanations"
"""Folder inside the results, with files whose names begin with ``finding_``."""
RESEARCH_USE = "Research use only, not for diagnosis."

INPUT_STEP = 1 / 256
"""Of the network's input in the file, in SD: far below the noise of a scan."""

_KNOWN = (
    "anomaly_score.nii.gz",
    "anomaly_mask.nii.gz",
    "brain_mask.nii.gz",
    "findings.nii.gz",
    "reference.nii.gz",
    "regions.nii.gz",
    "zones.nii.gz",
    "findings.csv",
    "regions.csv",
    RESULT_FILE,
    "report.html",
    *(f"zscore_{m.key}.nii.gz" for m in Modality),
    *(f"{m.value}.nii.gz" for m in MapName),
    *(f"network_input_{m.key}.nii.gz" for m in Modality),
)
"""Every file that results can have; those of older results are removed."""


@contextmanager
def results_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of the target when the block ends well.

    Files in an existing target that are no results of this program stay where they are.

    Args:
        target: folder of the results.
        overwrite: replace results that are there.

    Raises:
        ResultsExist: the target holds results and ``overwrite`` is off.
        BrainSSLAnomalyError: the place cannot be written to; older results are as they were.
    """
    target = Path(os.path.abspath(target))
    _check_target(target, overwrite=overwrite)
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
    is_done = False
    try:
        yield stage
        if target.is_dir():
            move_into(stage, target, outdated=_KNOWN)
            remove_explanations(target)
        else:
            os.replace(stage, target)
        is_done = True
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"the results could not be written ({error.strerror or error})",
            "check the free space and whether you may write there",
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if not is_done:
            for folder in missing:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise ResultsExist(f"{target.name} is a file", "choose a folder for the results")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise ResultsExist(
            f"the folder {target.name} is not empty",
            "choose another with --output, or add --overwrite",
        )
    if target.is_dir() and not os.access(target, os.W_OK):
        raise BrainSSLAnomalyError(
            f"{target} cannot be written to", "choose another folder with --output"
        )


def remove_explanations(folder: Path) -> None:
    """Remove the explanations of findings that are about to get other numbers."""
    inside = folder / EXPLANATIONS
    for path in inside.glob("finding_*"):
        if path.is_file():
            path.unlink()
    if inside.is_dir() and not any(inside.iterdir()):
        inside.rmdir()


def write_results(
    folder: Path | str,
    detection: Detection,
    segmentation: Segmentation,
    settings: SegmentationSettings,
) -> None:
    """Write every map and table of a detection, on the grid of its reference scan.

    Args:
        folder: of the results, made if it is not there.
        detection: its maps are written.
        segmentation: mask and findings.
        settings: that made the mask.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = write_detection(folder, detection)
    write_segmentation(folder, detection.reference, segmentation, settings, record)


def write_detection(folder: Path, detection: Detection) -> dict[str, Any]:
    """Write the detection of the results: maps, the network's input and ``result.json``.

    Args:
        folder: of the results.
        detection: its maps are written.

    Returns:
        The content of ``result.json``.

    Raises:
        OSError: a file cannot be written.
    """
    grid = detection.reference
    floats = {
        "reference": grid.array,
        "anomaly_score": detection.anomaly_score,
        **{f"zscore_{m.key}": z for m, z in detection.zscores.items()},
        **{name.value: array for name, array in detection.maps.items()},
    }
    for name, array in floats.items():
        write_volume(folder / f"{name}.nii.gz", grid.with_array(array), np.float32)
    labels = {
        "brain_mask": detection.brain_mask,
        "regions": detection.anatomy.regions,
        "zones": detection.anatomy.zones,
    }
    for name, array in labels.items():
        write_volume(folder / f"{name}.nii.gz", grid.with_array(array), np.uint8)
    record: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "program": PROGRAM,
        "version": __version__,
        "use": RESEARCH_USE,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **detection_to_record(detection),
    }
    if detection.network_input is not None:
        given = detection.network_input
        record["network_input_axes"] = list(given.axes)
        digests = {}
        for modality, image in given.images.items():
            path = folder / f"network_input_{modality.key}.nii.gz"
            write_volume(path, Volume(image, given.affine), np.int16, step=INPUT_STEP)
            digests[modality.key] = sha256(path)
        record["network_input_sha256"] = digests
    _write_record(folder, record)
    return record


def write_segmentation(
    folder: Path,
    grid: Volume,
    segmentation: Segmentation,
    settings: SegmentationSettings,
    record: Mapping[str, Any],
) -> None:
    """Write the segmentation of the results: mask, findings and ``result.json``.

    Args:
        folder: of the results.
        grid: the reference scan.
        segmentation: mask and findings.
        settings: that made the mask.
        record: content of ``result.json``, whose findings are replaced.

    Raises:
        OSError: a file cannot be written.
    """
    write_volume(folder / "anomaly_mask.nii.gz", grid.with_array(segmentation.mask), np.uint8)
    write_volume(folder / "findings.nii.gz", grid.with_array(segmentation.labels), np.uint16)
    content = {
        **record,
        "segmentation_settings": to_dict(settings),
        "scan_score": segmentation.scan_score,
        "region_scores": dict(segmentation.region_scores),
        "total_volume_ml": round(sum(f.volume_ml for f in segmentation.findings), 4),
        "findings": [_to_json(asdict(f)) for f in segmentation.findings],
    }
    _write_record(folder, content)


def write_times(folder: Path, times: Mapping[str, StageTime], peak_memory_mb: float | None) -> None:
    """Put the times of all stages and the memory that they took into ``result.json``.

    Args:
        folder: of the results.
        times: of each stage; no second counts twice.
        peak_memory_mb: the most memory used, or None where unknown.

    Raises:
        OSError: the file cannot be written.
    """
    record = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    memory = None if peak_memory_mb is None else round(peak_memory_mb)
    _write_record(folder, {**record, **times_to_record(times), "peak_memory_mb": memory})


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    write_text(folder / RESULT_FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


class SavedResults(NamedTuple):
    """Hold what `read_results` finds in a folder.

    Attributes:
        detection: with its maps.
        settings: that made the mask.
        record: content of ``result.json``.
    """

    detection: Detection
    settings: SegmentationSettings
    record: dict[str, Any]


def read_results(folder: Path | str) -> SavedResults:
    """Return what `write_results` has written, also by version 0.5.

    Raises:
        BadResults: incomplete, damaged or made by something else.
    """
    with _readable(Path(folder)) as record:
        detection = _read_detection(Path(folder), record)
        settings = segmentation_from_dict(record["segmentation_settings"])
        return SavedResults(detection, settings, record)


def read_detection(folder: Path) -> Detection:
    """Return what `write_detection` has written.

    Raises:
        BadResults: incomplete, damaged or made by something else.
    """
    with _readable(Path(folder)) as record:
        return _read_detection(Path(folder), record)


@contextmanager
def _readable(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of ``result.json``; every error while it is used is `BadResults`."""
    if not (folder / RESULT_FILE).is_file():
        raise BadResults(
            f"{folder.name} holds no {RESULT_FILE}", "give a folder that detect has written"
        )
    try:
        record = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        if record["program"] != PROGRAM or record["format"] not in READABLE_VERSIONS:
            raise BadResults(
                f"{folder.name} was written by another version ({record.get('version')})",
                "run detect again",
            )
        yield record
    except BrainSSLAnomalyError:
        raise
    except Exception as error:  # any damage to any file
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise BadResults(
            f"{folder.name} is incomplete or damaged ({reason.rstrip('. ')})", "run detect again"
        ) from error


def _read_detection(folder: Path, record: Mapping[str, Any]) -> Detection:
    def array(name: str) -> np.ndarray:
        return read_volume(folder / f"{name}.nii.gz").array

    modalities = [Modality(scan["modality"]) for scan in record["inputs"]]
    maps = [m for m in MapName if (folder / f"{m.value}.nii.gz").is_file()]
    return detection_from_record(
        record,
        reference=read_volume(folder / "reference.nii.gz"),
        anomaly_score=array("anomaly_score"),
        brain_mask=array("brain_mask") > 0,
        zscores={m: array(f"zscore_{m.key}") for m in modalities},
        anatomy=PatientAnatomy(array("regions"), array("zones")),
        maps={m: array(m.value) for m in maps},
        network_input=_read_network_input(folder, record),
    )


def _read_network_input(folder: Path, record: Mapping[str, Any]) -> NetworkInput | None:
    """Return what the network predicted from, or None where it was not kept.

    Raises:
        BadResults: a file is not the one that was written with the results.
    """
    axes = record.get("network_input_axes")
    paths = {m: folder / f"network_input_{m.key}.nii.gz" for m in Modality}
    for modality, digest in record.get("network_input_sha256", {}).items():
        path = folder / f"network_input_{modality}.nii.gz"
        if path.is_file() and sha256(path) != digest:
            raise BadResults(f"{path.name} is not the file of this result", "run detect again")
    volumes = {m: read_volume(path) for m, path in paths.items() if path.is_file()}
    if not volumes or axes is None:
        return None
    first = next(iter(volumes.values()))
    images = {
        m: first.with_array(volume.array).array.astype(np.float32) for m, volume in volumes.items()
    }
    return NetworkInput(images, first.affine, tuple(int(axis) for axis in axes))


def _to_json(value: Any) -> Any:
    """Return enums as their values and floats rounded."""
    if isinstance(value, dict):
        return {k: _to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(v) for v in value]
    if isinstance(value, Modality):
        return value.value
    return round(float(value), 4) if isinstance(value, float) else value
