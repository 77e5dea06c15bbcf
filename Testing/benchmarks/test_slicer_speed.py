"""How fast is the Slicer module on a 1 mm volume of 182×218×182? Run by ``make benchmark``.

Aims on two cores, medians: panel open within 1 s, from a slider to the mask in the scene within
100 ms, the panel free again 2 s after Detect was pressed, and a worker ended 4 s after Cancel.
"""

from __future__ import annotations

import os
import time
from itertools import cycle

import pytest
from BrainSSLAnomalyLib import jobs
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    SegmentationSettings,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.core.study import Modality, Scan, Study
from BrainSSLAnomalyLib.jobs.messages import MESSAGES
from support.detections import make_detection
from support.slicer.optional import needed

needed("slicer")


@pytest.fixture(scope="module")
def full():
    return make_detection((182, 218, 182), 1.0)


@pytest.fixture
def results(scene, full):
    import slicer
    from BrainSSLAnomalyLib.scene import Results

    node = slicer.util.addVolumeFromArray(
        full.reference.array, ijkToRAS=full.reference.affine, name="FLAIR"
    )
    return Results.write(full, {Modality.FLAIR: node})


def test_slider_to_mask_in_the_scene(benchmark, results):
    from BrainSSLAnomalyLib.scene.session import Session

    session = Session(results)
    moves = cycle(
        [SegmentationSettings(ThresholdSettings(threshold=t)) for t in (0.6, 0.65, 0.7, 0.75)]
    )

    def move():
        session.segment(next(moves))
        session.write()

    benchmark(move)


def test_slider_to_display(benchmark, results):
    from BrainSSLAnomalyLib.scene import show_threshold

    levels = cycle([0.2, 0.3, 0.4])
    benchmark(lambda: show_threshold(results.layers["score"], next(levels)))


def test_scene_update_after_a_second_run(benchmark, results, full):
    from BrainSSLAnomalyLib.scene import Results

    benchmark(lambda: Results.write(full, {Modality.FLAIR: results.reference}))


def test_panel_opens(benchmark, scene):
    needed("PySide6.QtWidgets")
    from support.slicer import slicer_python

    slicer_python.start()
    import BrainSSLAnomaly

    def panel():
        BrainSSLAnomaly.BrainSSLAnomalyWidget().cleanup()

    benchmark.pedantic(panel, rounds=5)


@pytest.fixture
def study(full):
    return Study({Modality.FLAIR: Scan(full.reference, Modality.FLAIR, "phantom")})


def start(study):
    """Start a worker, and wait for its first message."""
    job = jobs.start_detection(study, DetectionSettings())
    while os.path.getsize(job.scratch / MESSAGES) == 0:
        time.sleep(0.01)
    return job


def test_worker_starts_and_reports(benchmark, study):
    benchmark.pedantic(lambda: start(study).close(), rounds=3)


def test_detect_button_is_pressed(benchmark, study):
    started = []
    benchmark.pedantic(
        lambda: started.append(jobs.start_detection(study, DetectionSettings())), rounds=3
    )
    for job in started:
        job.close()


def test_worker_ends_after_cancel(benchmark, study):
    def cancel(job):
        job.cancel()
        job.wait(every=0.01)
        job.close()

    benchmark.pedantic(cancel, setup=lambda: ((start(study),), {}), rounds=3)
