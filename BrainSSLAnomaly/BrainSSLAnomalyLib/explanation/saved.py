"""Explanations of the findings in a folder of results, written beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import BrainSSLAnomalyError
from ..core.files import replacing_files, write_text
from ..core.progress import Progress, ignore_progress
from ..core.results import Detection, Segmentation
from ..core.settings import DetectionSettings, Device, ExplanationMethod, ExplanationStage
from ..core.version import __version__
from ..imageio import EXPLANATIONS, RESEARCH_USE, locate_scans, read_results, write_volume
from ..report import explanation_figure
from ..segmentation import segment
from .finding import Explanation, explain_findings

if TYPE_CHECKING:
    from ..network.model import Model


def explain_results(
    folder: Path,
    number: int | None = None,
    *,
    stage: ExplanationStage = ExplanationStage.CONVOLUTION,
    method: ExplanationMethod = ExplanationMethod.HIRESCAM,
    device: Device = Device.AUTO,
    scans: Sequence[Path] = (),
    model: Model | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[tuple[Explanation, Path]]:
    """Write map, attention, picture and record of each finding into ``explanations``.

    Args:
        folder: of results of ``detect``.
        number: of the finding; all by default.
        stage: as for `explain_findings`.
        method: as for `explain_findings`.
        device: where the network runs.
        scans: further places of the scans, files or folders, for results without the network's
            input: these are prepared anew.
        model: as for `explain_findings`.
        progress: as for `explain_findings`.

    Yields:
        Each explanation with the path of its picture, as soon as its files are there.

    Raises:
        BadResults: incomplete or damaged results, or missing scans.
        BadSettings: there is no such finding, or no such device.
    """
    saved = read_results(folder)
    detection, segmentation = saved.detection, segment(saved.detection, saved.settings)
    provenance = detection.provenance
    settings = provenance.settings if provenance is not None else DetectionSettings()
    explanations = explain_findings(
        detection,
        segmentation,
        [f.number for f in segmentation.findings] if number is None else [number],
        replace(settings, device=device),
        find_study=partial(locate_scans, detection, folder, scans),
        stage=stage,
        method=method,
        model=model,
        progress=progress,
    )
    for explanation in explanations:
        yield explanation, _write(folder, detection, segmentation, explanation, stage, method)


def _write(
    folder: Path,
    detection: Detection,
    segmentation: Segmentation,
    explanation: Explanation,
    stage: ExplanationStage,
    method: ExplanationMethod,
) -> Path:
    """Write all files of one finding, or none.

    Returns:
        The path of the picture.
    """
    finding = next(f for f in segmentation.findings if f.number == explanation.number)
    name = f"finding_{finding.number:02d}"
    map_name, grid = f"{name}_{method.value}_{stage.value}", detection.reference
    picture = explanation_figure(
        replace(detection, maps=explanation.maps),
        replace(segmentation, mask=segmentation.labels == finding.number),
        explanation.axis,
        explanation.gradcam,
        explanation.attention,
        (method.words, stage.value),
    )
    record = {
        "use": RESEARCH_USE,
        "version": __version__,
        "model": explanation.version,
        "finding": finding.number,
        "place": finding.place,
        "peak_ras": [round(v, 1) for v in finding.peak_ras],
        "volume_ml": round(finding.volume_ml, 4),
        "method": method.value,
        "stage": stage.value,
        "slices_across": ("superior", "anterior", "right")[explanation.axis],
        "is_empty": explanation.is_empty,
    }
    target = folder / EXPLANATIONS
    maps = {map_name: explanation.gradcam, f"{name}_attention": explanation.attention}
    try:
        target.mkdir(exist_ok=True)
        with replacing_files(target) as partial:
            for title, array in maps.items():
                write_volume(partial / f"{title}.nii.gz", grid.with_array(array), np.float32)
            (partial / f"{map_name}.png").write_bytes(picture)
            content = json.dumps(record, indent=2, ensure_ascii=False)
            write_text(partial / f"{map_name}.json", content + "\n")
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"{target.name} cannot be written to ({error.strerror})",
            "check the free space and whether you may write there",
        ) from error
    return target / f"{map_name}.png"
