"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import SegmentationSettings
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.imageio import results_folder, write_results, write_volume
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.segmentation import segment
from support.detections import QUICK
from support.project import PROJECT

PACKAGE = PROJECT / "BrainSSLAnomaly" / "BrainSSLAnomalyLib"
SLICER_ALONE = {"scene", "panel"}
"""Rooms that can be imported within Slicer alone; what they show there is tested in them."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


WITH_EXAMPLES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
    and path.relative_to(PACKAGE).parts[0] not in SLICER_ALONE
    and path != PACKAGE / "__init__.py"  # the README's example, which runs in its own test
]


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    """A folder as users have it: two scans, and results of an earlier detection."""
    folder = tmp_path_factory.mktemp("patient")
    study, _ = synthetic_patient(0, 4.0)
    for modality in (Modality.FLAIR, Modality.T1):
        write_volume(folder / f"{modality.key}.nii.gz", study.scans[modality].volume, np.int16)
    detection = detect(study, QUICK)
    with results_folder(folder / "results", overwrite=False) as stage:
        write_results(stage, detection, segment(detection), SegmentationSettings())
    return folder


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_give_what_they_show(path, patient, monkeypatch):
    monkeypatch.chdir(patient)
    module = importlib.import_module(module_name(path))
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(module, extraglobs={"np": np}, optionflags=options)
    assert result.attempted and not result.failed


def test_most_rooms_show_examples():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in WITH_EXAMPLES}
    assert {"core", "imageio", "segmentation", "detection"} <= rooms
