"""The detector and the anatomy network are those of the settings, with or without PyTorch."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.results import MapName
from BrainSSLAnomalyLib.core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection.detect import (
    LOAD,
    Detector,
    anatomy_predictor,
    choose_method,
    detect,
    find_warnings,
)
from BrainSSLAnomalyLib.imageio import read_study
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support.detections import QUICK
from support.packages import run_python

HYBRID = DetectionSettings(DetectorName.HYBRID, device=Device.CPU)


@pytest.fixture(scope="module")
def flair():
    study, _ = synthetic_patient(0, 4.0)
    return Study({Modality.FLAIR: study.scans[Modality.FLAIR]})


def test_the_network_runs_where_pytorch_is_missing(flair):
    """In a process of its own, in which importing PyTorch or MONAI fails."""
    code = """
        import importlib.util
        import sys

        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("torch", "monai"):
                    raise ImportError(name)

        known = importlib.util.find_spec
        hidden = ("torch", "monai")
        importlib.util.find_spec = lambda name: None if name in hidden else known(name)
        sys.meta_path.insert(0, Missing())
        from BrainSSLAnomalyLib import DetectionSettings, Modality, Study, detect, synthetic_patient
        study, _ = synthetic_patient(0, 4.0)
        flair = Study({Modality.FLAIR: study.scans[Modality.FLAIR]})
        detection = detect(flair, DetectionSettings(threads=1))
        print(detection.detector.value, detection.provenance.anatomy.value, len(detection.maps))
        print(detection.warnings)
    """
    printed = run_python(code).splitlines()
    assert printed == ["hybrid network 4", "()"]


def test_the_network_is_the_default_and_the_statistics_are_a_choice():
    default = choose_method(DetectionSettings(threads=1))
    assert default.name is DetectorName.HYBRID and default.score_name is ScoreName.FUSED
    chosen = choose_method(DetectionSettings(DetectorName.STATISTICAL))
    assert chosen.name is DetectorName.STATISTICAL
    assert chosen.score_name is ScoreName.STATISTICAL


def test_the_atlas_needs_no_network():
    assert anatomy_predictor(DetectionSettings(anatomy=AnatomySource.ATLAS)) is None


def test_an_unusual_brain_volume_and_a_missing_flair_are_warned_of(flair):
    assert find_warnings(flair, 1200.0) == ()
    study, _ = synthetic_patient(0, 4.0)
    t1 = Study({Modality.T1: study.scans[Modality.T1]})
    volume, contrast = find_warnings(t1, 300.0)
    assert "300 ml" in volume and "Without a FLAIR" in contrast


def test_a_detector_gives_two_patients_the_results_that_each_would_have_alone(flair):
    other, _ = synthetic_patient(5, 4.0)
    studies = (flair, Study({Modality.FLAIR: other.scans[Modality.FLAIR]}))
    detector = Detector(QUICK)
    for study in (*studies, studies[0]):
        found, alone = detector.detect(study), detect(study, QUICK)
        assert np.array_equal(found.anomaly_score, alone.anomaly_score)
        assert found.inputs == alone.inputs


def test_the_times_of_the_stages_sum_to_the_time_of_the_detection(flair):
    start = time.perf_counter()
    detection = detect(flair, replace(HYBRID, threads=1))
    passed = time.perf_counter() - start
    times = detection.times
    assert sum(t.seconds for t in times.values()) == pytest.approx(passed, rel=0.02)
    assert {LOAD, "Predicting anomalies", "Scoring", "Explaining"} < set(times)
    assert all(t.cpu_seconds >= 0 for t in times.values())


def test_axial_slices_alone_give_another_score_from_one_prediction():
    study, _ = synthetic_patient(0, 3.0)  # sharp in all orientations
    flair = Study({Modality.FLAIR: study.scans[Modality.FLAIR]})
    fast = detect(flair, replace(HYBRID, fast=True, explain=False))
    whole = detect(flair, replace(HYBRID, explain=False))
    assert MapName.UNCERTAINTY not in fast.maps and whole.maps[MapName.UNCERTAINTY].any()
    both = fast.brain_mask
    assert np.corrcoef(fast.anomaly_score[both], whole.anomaly_score[both])[0, 1] > 0.5


def test_threads_of_simpleitk_are_as_before_afterwards(flair):
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    during = []

    def look(stage: str, fraction: float) -> None:
        during.append(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads())

    Detector(replace(QUICK, threads=1)).detect(flair, look)
    assert set(during) == {1}
    assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == before


def test_the_order_of_axes_changes_no_score(data):
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-75, -105, -70]

    def score(code: str) -> np.ndarray:
        path = data / "formats" / "orientations" / f"{code}.nii.gz"
        detection = detect(read_study({Modality.T1: path}), QUICK)
        volume = detection.reference.with_array(detection.anomaly_score)
        return resample(volume, Grid((50, 65, 50), affine))

    assert np.abs(score("RAS") - score("AIR")).mean() < 2e-3
