"""The detector and the anatomy network are those of the settings, or of what is installed."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.grid import Grid
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection import detect as module
from BrainSSLAnomalyLib.detection.detect import (
    anatomy_predictor,
    choose_detector,
    detect,
    find_warnings,
)
from BrainSSLAnomalyLib.imageio import read_study
from BrainSSLAnomalyLib.phantom import synthetic_patient
from support.detections import QUICK

HYBRID = DetectionSettings(DetectorName.HYBRID, device=Device.CPU)


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(
        module, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )


def test_without_torch_statistics_and_atlas_run_and_the_report_says_so(without_torch):
    assert choose_detector(HYBRID).name is DetectorName.STATISTICAL
    assert anatomy_predictor(AnatomySource.NETWORK) is None
    study, _ = synthetic_patient(0, 4.0)
    flair = Study({Modality.FLAIR: study.scans[Modality.FLAIR]})
    detection = detect(flair, HYBRID)
    assert detection.detector is DetectorName.STATISTICAL and detection.anomaly_score.max() > 0.5
    assert detection.provenance.anatomy is AnatomySource.ATLAS
    assert detection.provenance.score is ScoreName.STATISTICAL
    atlas, statistics = detection.warnings
    assert "an atlas alone finds the brain" in atlas and "install" in atlas
    assert "the statistical detector replaces the network" in statistics and "install" in statistics


def test_the_network_is_the_default_and_the_statistics_are_a_choice():
    pytest.importorskip("monai", reason="needs MONAI: pip install 'brain-ssl-anomaly[model]'")
    default = choose_detector(DetectionSettings())
    assert default.name is DetectorName.HYBRID and default.score_name is ScoreName.FUSED
    chosen = choose_detector(DetectionSettings(DetectorName.STATISTICAL))
    assert chosen.name is DetectorName.STATISTICAL
    assert chosen.score_name is ScoreName.STATISTICAL


def test_the_atlas_needs_no_network_and_causes_no_warning(without_torch):
    settings = DetectionSettings(DetectorName.STATISTICAL, anatomy=AnatomySource.ATLAS)
    assert anatomy_predictor(settings.anatomy) is None
    study, _ = synthetic_patient(0, 4.0)
    assert find_warnings(study, settings, 1200.0) == ()


def test_an_unusual_brain_volume_and_a_missing_flair_are_warned_of(without_torch):
    settings = DetectionSettings(DetectorName.STATISTICAL, anatomy=AnatomySource.ATLAS)
    study, _ = synthetic_patient(0, 4.0)
    t1 = Study({Modality.T1: study.scans[Modality.T1]})
    volume, flair = find_warnings(t1, settings, 300.0)
    assert "300 ml" in volume and "Without a FLAIR" in flair


def test_the_order_of_axes_changes_no_score(data):
    affine = np.diag([3.0, 3, 3, 1])
    affine[:3, 3] = [-75, -105, -70]

    def score(code: str) -> np.ndarray:
        path = data / "formats" / "orientations" / f"{code}.nii.gz"
        detection = detect(read_study({Modality.T1: path}), QUICK)
        volume = detection.reference.with_array(detection.anomaly_score)
        return resample(volume, Grid((50, 65, 50), affine))

    assert np.abs(score("RAS") - score("AIR")).mean() < 2e-3
