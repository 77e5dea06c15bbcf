"""What the tests share: where the real data is, a small made detection with a lesion of known place, and a scene and a panel to show it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import PatientAnatomy, Region, Zone
from BrainSSLAnomalyLib.core.resampling import resample
from BrainSSLAnomalyLib.core.results import Detection, LookedAt, MapName
from BrainSSLAnomalyLib.core.settings import AnatomySource, DetectionSettings, DetectorName
from BrainSSLAnomalyLib.core.study import Modality, Scan, Volume
from BrainSSLAnomalyLib.preparation.canonical import canonical_grid
from hypothesis import settings

settings.register_profile("project", deadline=None)  # speed is measured by benchmarks, not by tests
settings.load_profile("project")

PROJECT = Path(__file__).resolve().parent.parent
QUICK = DetectionSettings(DetectorName.STATISTICAL, anatomy=AnatomySource.ATLAS)
"""Without a network, where something else is tested."""

DATA = Path(os.environ.get("BRAINSSL_DATA", PROJECT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans; skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip("real scans are absent; set BRAINSSL_DATA to their folder")
    return DATA


def make_detection(shape: tuple[int, int, int] = (60, 72, 60), spacing: float = 3.0) -> Detection:
    """An ellipsoid brain with a bright sphere in its left frontal white matter, on a left-handed (LAS) grid.

    The sphere has radius 9 mm and its centre at RAS (−24, 30, 15) mm.
    """
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    centre = (np.array(shape[::-1]) - 1) / 2
    affine = np.diag([-spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [spacing * centre[0], -spacing * centre[1], -spacing * centre[2]]
    r, a, s = (affine[n, n] * x + affine[n, 3] for n, x in enumerate((i, j, k)))
    brain = (r / 68) ** 2 + (a / 85) ** 2 + (s / 65) ** 2 < 1
    ventricle = (r / 14) ** 2 + (a / 30) ** 2 + (s / 10) ** 2 < 1
    lesion = (r + 24) ** 2 + (a - 30) ** 2 + (s - 15) ** 2 < 9**2
    rng = np.random.default_rng(0)
    image = (100 * brain - 60 * ventricle + 60 * lesion + 3 * rng.standard_normal(shape) * brain).clip(0).astype(np.float32)
    z = (rng.standard_normal(shape) * brain + 6 * lesion).astype(np.float32)
    score = np.where(brain, 0.05 + 0.9 * lesion + 0.04 * rng.random(shape), 0).astype(np.float32)
    side = np.where(r < 0, Region.LEFT_FRONTAL, Region.RIGHT_FRONTAL)
    regions = np.where(brain, side, Region.OUTSIDE).astype(np.uint8)
    regions[ventricle & (r < 0)], regions[ventricle & (r >= 0)] = Region.LEFT_LATERAL_VENTRICLE, Region.RIGHT_LATERAL_VENTRICLE
    zones = np.where(brain, Zone.DEEP_WHITE, Zone.OUTSIDE).astype(np.uint8)
    zones[brain & ((r / 64) ** 2 + (a / 81) ** 2 + (s / 61) ** 2 > 1)] = Zone.CORTEX
    zones[ventricle] = Zone.VENTRICLE
    volume = Volume(image, affine)
    return Detection(
        reference=volume,
        modality=Modality.FLAIR,
        anomaly_score=score,
        brain_mask=brain,
        zscores={Modality.FLAIR: z, Modality.T1: (-0.5 * z).astype(np.float32)},
        anatomy=PatientAnatomy(regions, zones),
        detector="statistical",
        inputs=(
            Scan(volume, Modality.FLAIR, "flair.nii.gz", "0" * 64, ""),
            Scan(volume, Modality.T1, "t1.nii.gz", "1" * 64, "file name"),
        ),
        seconds={"Reading": 0.1, "Scoring": 0.2},
        scan_p_value=0.05,
        facts={"brain_volume_ml": float(brain.sum() * volume.voxel_ml)},
    )


def as_by_network(detection: Detection) -> Detection:
    """The same with everything that the network adds: a reconstruction without the lesion, and its maps."""
    lesion = detection.anomaly_score > 0.5
    error = (5 * lesion + 0.2 * detection.brain_mask).astype(np.float32)
    maps = {
        MapName.RECONSTRUCTION: np.where(lesion, 100, detection.reference.array).astype(np.float32),
        MapName.ERROR: error,
        MapName.LATENT: (error / 4).astype(np.float32),
        MapName.UNCERTAINTY: (error / 2).astype(np.float32),
        MapName.GRADCAM: lesion.astype(np.float32),
    }
    shape, affine = canonical_grid(detection.reference.with_array(detection.brain_mask.astype(np.float32)), 3.0)
    image = detection.reference.with_array((detection.zscores[Modality.FLAIR] * detection.brain_mask).astype(np.float32))
    looked_at = LookedAt({Modality.FLAIR: resample(image, shape, affine)}, affine, 0)
    return replace(detection, detector="hybrid", maps=maps, looked_at=looked_at)


@pytest.fixture(scope="session")
def detection() -> Detection:
    """`make_detection` with its defaults."""
    return make_detection()


@pytest.fixture(scope="session")
def mrml():
    """The module ``slicer`` of the wheel slicer-core, its MRML core running."""
    from optional import needed

    needed("slicer")
    import mrml_core

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
    from scene_contents import add_scan

    return add_scan(detection.reference, "FLAIR")


@pytest.fixture
def results(scan_node, detection):
    """The made detection, written beside its scan."""
    from BrainSSLAnomalyLib.scene import Results

    return Results.write(detection, {Modality.FLAIR: scan_node})


@pytest.fixture
def two_lesions(detection):
    """The detection with a weaker second lesion, mirrored."""
    score = np.maximum(detection.anomaly_score, np.where(detection.anomaly_score[..., ::-1] > 0.5, 0.8, 0)).astype(np.float32)
    return replace(detection, anomaly_score=score)


@pytest.fixture(scope="session")
def module():
    """The module file, in a Slicer-like process: where ``SLICER_SOURCE`` names a checkout of Slicer, on Slicer's own Python layer."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import slicer_python

    slicer_python.start()
    import BrainSSLAnomaly

    return BrainSSLAnomaly


@pytest.fixture(scope="session")
def small_patient():
    """A synthetic patient on a grid of 4 mm."""
    from BrainSSLAnomalyLib.phantom.patient import synthetic_patient

    study, _ = synthetic_patient(0, 4.0)
    return study


@pytest.fixture(scope="session")
def small_detection(small_patient):
    """What the statistics say of the FLAIR alone; worked out once."""
    from BrainSSLAnomalyLib.core.study import Study
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
    from driving import settle

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
    from driving import settle
    from scene_contents import add_scan

    node = add_scan(small_patient.scans[Modality.FLAIR].volume, "Patient FLAIR")
    panel.scans.guess()
    settle()
    return panel, node


@pytest.fixture
def detected(loaded, small_detection):
    """The panel with results, without waiting for the worker."""
    from BrainSSLAnomalyLib.scene import Results
    from driving import settle

    panel, node = loaded
    results = Results.write(small_detection, {Modality.FLAIR: node})
    panel.layers.listResults(results)
    panel.onSettingsSettled()
    settle()
    return panel, results
