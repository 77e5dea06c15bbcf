"""What the tests share: real scans, a small made detection, and a scene and a panel to show it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.results import Detection
from BrainSSLAnomalyLib.core.study import Modality, Study
from hypothesis import settings
from support.detections import QUICK, make_detection
from support.project import DATA

settings.register_profile("project", deadline=None)  # speed is measured by benchmarks
settings.load_profile("project")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip("real scans are absent; set BRAINSSL_DATA to their folder")
    return DATA


@pytest.fixture(scope="session")
def detection() -> Detection:
    """`make_detection` with its defaults."""
    return make_detection()


@pytest.fixture(scope="session")
def mrml():
    """The module ``slicer`` of the wheel slicer-core, its MRML core running."""
    from support.slicer.optional import needed

    needed("slicer")
    from support.slicer import mrml_core

    return mrml_core.start()


@pytest.fixture
def scene(mrml):
    """An empty MRML scene, emptied again afterwards; default nodes stay, as in Slicer."""
    mrml.mrmlScene.Clear(False)
    yield mrml.mrmlScene
    mrml.mrmlScene.Clear(False)


@pytest.fixture
def scan_node(scene, detection):
    """The scan of the made detection, in the scene."""
    from support.slicer.scene_contents import add_scan

    return add_scan(detection.reference, "FLAIR")


@pytest.fixture
def results(scan_node, detection):
    """The made detection, written beside its scan."""
    from BrainSSLAnomalyLib.scene import Results

    return Results.write(detection, {Modality.FLAIR: scan_node})


@pytest.fixture
def two_lesions(detection):
    """The detection with a weaker second lesion, mirrored."""
    score = np.maximum(
        detection.anomaly_score, np.where(detection.anomaly_score[..., ::-1] > 0.5, 0.8, 0)
    ).astype(np.float32)
    return replace(detection, anomaly_score=score)


@pytest.fixture(scope="session")
def module():
    """The module file, in a Slicer-like process.

    Where ``SLICER_SOURCE`` names a checkout of Slicer, on Slicer's own Python layer.
    """
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    from support.slicer import slicer_python

    slicer_python.start()
    import BrainSSLAnomaly

    return BrainSSLAnomaly


@pytest.fixture(scope="session")
def small_patient():
    """A synthetic patient on a grid of 4 mm."""
    from BrainSSLAnomalyLib.phantom import synthetic_patient

    study, _ = synthetic_patient(0, 4.0)
    return study


@pytest.fixture(scope="session")
def small_detection(small_patient):
    """What the statistics say of the FLAIR alone; worked out once."""
    from BrainSSLAnomalyLib.detection.detect import detect

    return detect(Study({Modality.FLAIR: small_patient.scans[Modality.FLAIR]}), QUICK)


@pytest.fixture
def raised(monkeypatch):
    """What was raised where nobody could catch it: in slots of Qt and observers of VTK."""
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    return errors


@pytest.fixture
def panel(module, scene, raised):
    """An open panel on an empty scene; an exception in any slot or observer fails the test."""
    from support.slicer.driving import settle

    widget = module.BrainSSLAnomalyWidget()
    widget.parent.resize(420, 1500)
    widget.parent.show()
    yield widget
    widget.cleanup()
    widget.parent.close()
    widget.parent.deleteLater()
    settle()
    assert raised == []


@pytest.fixture
def loaded(panel, small_patient):
    """The panel with a FLAIR in the scene, guessed."""
    from support.slicer.driving import settle
    from support.slicer.scene_contents import add_scan

    node = add_scan(small_patient.scans[Modality.FLAIR].volume, "Patient FLAIR")
    panel.scans.guess()
    settle()
    return panel, node


@pytest.fixture
def detected(loaded, small_detection):
    """The panel with results, without waiting for the worker."""
    from BrainSSLAnomalyLib.scene import Results
    from support.slicer.driving import settle

    panel, node = loaded
    results = Results.write(small_detection, {Modality.FLAIR: node})
    panel.layers.listResults(results)
    panel.onSettingsSettled()
    settle()
    return panel, results
