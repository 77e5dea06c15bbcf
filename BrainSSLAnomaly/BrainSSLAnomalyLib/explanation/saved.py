"""Explanations of the findings of a folder that ``detect`` has written, put beside them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import __version__
from ..core.errors import BrainSSLAnomalyError
from ..core.progress import Progress, silent
from ..core.results import Detection, Segmentation
from ..core.settings import Device, ExplanationMethod, ExplanationStage, detection_from_dict
from ..imageio import (
    EXPLANATIONS,
    RESEARCH_USE,
    read_results,
    scans_again,
    write_text,
    write_volume,
)
from ..report import explanation_figure
from ..segmentation import segment
from .finding import Explanation, explain_findings

if TYPE_CHECKING:
    from ..network.model import Model


def explain_results(
    folder: Path,
    number: int | None = None,
    *,
    stage: ExplanationStage = ExplanationStage.DECODER,
    method: ExplanationMethod = ExplanationMethod.GRADCAM,
    device: Device = Device.AUTO,
    scans: Sequence[Path] = (),
    model: Model | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[Explanation, Path]]:
    """Write map, attention, picture and record of each finding into ``explanations``.

    Args:
        folder: that ``detect`` has written.
        number: of the finding; all by default.
        stage, method, model, progress: as for `explain_findings`.
        device: where the network runs.
        scans: where else the scans may lie, files or folders.

    Yields:
        Each explanation with the path of its picture, as soon as its files are there.

    Raises:
        BadResults: incomplete or damaged results, or scans that are no longer there.
        BadSettings: there is no such finding, or no PyTorch.
    """
    detection, cut, content = read_results(folder)
    segmentation = segment(detection, cut)
    settings = replace(detection_from_dict(content["detection_settings"]), device=device)
    numbers = [f.number for f in segmentation.findings] if number is None else [number]
    explained = explain_findings(
        scans_again(detection, folder, scans), detection, segmentation, numbers, settings,
        stage=stage, method=method, model=model, progress=progress,
    )  # fmt: skip
    for explanation in explained:
        yield explanation, _write(folder, detection, segmentation, explanation, stage, method)


def _write(
    folder: Path,
    detection: Detection,
    segmentation: Segmentation,
    explanation: Explanation,
    stage: ExplanationStage,
    method: ExplanationMethod,
) -> Path:
    """All files of one finding, or none.

    Returns:
        The path of the picture.
    """
    finding = next(f for f in segmentation.findings if f.number == explanation.number)
    name = f"finding_{finding.number:02d}"
    which, grid = f"{name}_{method.value}_{stage.value}", detection.reference
    titles = ("HiResCAM" if method is ExplanationMethod.HIRESCAM else "Grad-CAM", stage.value)
    alone = replace(segmentation, mask=segmentation.labels == finding.number)
    picture = explanation_figure(
        replace(detection, maps=explanation.maps),
        alone,
        explanation.axis,
        explanation.gradcam,
        explanation.attention,
        titles,
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
        "nothing_speaks_for_an_anomaly": explanation.empty,
    }
    target = folder / EXPLANATIONS
    try:
        target.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target) as partial:
            stage_folder = Path(partial)
            write_volume(
                stage_folder / f"{which}.nii.gz", grid.with_array(explanation.gradcam), np.float32
            )
            write_volume(
                stage_folder / f"{name}_attention.nii.gz",
                grid.with_array(explanation.attention),
                np.float32,
            )
            (stage_folder / f"{which}.png").write_bytes(picture)
            write_text(
                stage_folder / f"{which}.json",
                json.dumps(record, indent=2, ensure_ascii=False) + "\n",
            )
            for path in stage_folder.iterdir():
                os.replace(path, target / path.name)
    except OSError as error:
        raise BrainSSLAnomalyError(
            f"{target.name} cannot be written to ({error.strerror})",
            "check the free space and try again",
        ) from error
    return target / f"{which}.png"
