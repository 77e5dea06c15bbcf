"""The panel detects with the chosen settings, in the background.

A detection that is refused or cancelled, or whose worker dies, leaves the scene as it was.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.settings import T1_THRESHOLD
from BrainSSLAnomalyLib.core.study import Modality
from support.slicer.driving import click, picture, settle, until
from support.slicer.optional import needed
from support.slicer.scene_contents import add_scan, load

needed("slicer")
needed("PySide6.QtWidgets")


def test_an_unusable_scan_is_explained_before_detection(panel, small_patient):
    volume = small_patient.scans[Modality.FLAIR].volume
    add_scan(volume.with_array(np.ones_like(volume.array)), "FLAIR")
    click(panel.ui.guessButton)
    assert "same value" in panel.ui.scansMessage.text and not panel.ui.detectButton.enabled
    picture(panel, "2_refused")


@pytest.fixture
def segmented(monkeypatch):
    """The settings of every mask that is computed in this process."""
    from BrainSSLAnomalyLib.segmentation import Segmenter

    real, settings = Segmenter._mask, []

    def compute(self, given):
        settings.append(given)
        return real(self, given)

    monkeypatch.setattr(Segmenter, "_mask", compute)
    return settings


def choose_statistics(panel) -> None:
    """Choose the quick detector."""
    panel.ui.detectorSelector.setCurrentText("Statistics")
    panel.ui.anatomySelector.setCurrentText("atlas")


def start_worker(panel):
    """Press the button, wait for the first message of the worker, and return its job."""
    choose_statistics(panel)
    click(panel.ui.detectButton)
    assert panel.detection.is_running and not panel.ui.detectButton.enabled
    job = panel.detection.monitor.job
    until(lambda: job.state.fraction > 0)
    return job


def test_detection_runs_in_the_background_and_shows_layers_mask_and_findings(
    loaded, segmented, monkeypatch
):
    import slicer
    from BrainSSLAnomalyLib.jobs.messages import RESULTS
    from BrainSSLAnomalyLib.scene import Results

    panel, node = loaded
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    written = []
    finish = panel.logic.finishDetection

    def finish_and_list(job, *arguments):
        written.extend(path.name for path in (job.scratch / RESULTS).iterdir())
        return finish(job, *arguments)

    monkeypatch.setattr(panel.logic, "finishDetection", finish_and_list)
    job = start_worker(panel)  # comes back before the worker is done
    assert job.state.status.value == "running"
    until(lambda: panel.ui.progressBar.value > 0)
    assert panel.ui.progressBar.visible and panel.ui.cancelButton.visible
    picture(panel, "3_running")
    until(lambda: not panel.detection.is_running)
    (results,) = Results.all_in_scene()
    assert results.reference is node and panel.session.results == results
    assert composite.GetForegroundVolumeID() == results.layers["score"].GetID()
    assert panel.ui.findingsTable.rowCount == len(panel.session.findings) > 0
    assert not panel.ui.progressBar.visible
    assert panel.ui.detectButton.enabled and panel.ui.editButton.enabled
    picture(panel, "4_detected")
    assert "anomaly_score.nii.gz" in written and "anomaly_mask.nii.gz" not in written
    assert segmented == [panel.session.settings]  # the first mask is computed once


def test_a_second_detection_computes_its_first_mask_once_too(detected, small_detection, segmented):
    panel, results = detected
    panel.onDetected(Finished(small_detection), {Modality.FLAIR: results.reference})
    assert segmented == [panel.session.settings]
    assert results.segmentation is not None and panel.ui.findingsTable.rowCount > 0


def test_cancel_ends_the_worker_and_leaves_the_scene(loaded, scene):
    panel, _ = loaded
    before = scene.GetNumberOfNodes()
    job = start_worker(panel)
    click(panel.ui.cancelButton)
    assert not panel.ui.cancelButton.enabled
    until(lambda: not panel.detection.is_running)
    assert job._process.poll() is not None and not job.scratch.exists()
    assert scene.GetNumberOfNodes() == before
    assert "Cancelled" in panel.ui.statusMessage.text and panel.ui.detectButton.enabled


def test_a_worker_that_dies_is_explained_and_leaves_the_scene(loaded, scene):
    panel, _ = loaded
    before = scene.GetNumberOfNodes()
    start_worker(panel)._process.end()
    until(lambda: not panel.detection.is_running)
    assert "memory" in panel.ui.statusMessage.text and scene.GetNumberOfNodes() == before
    assert panel.ui.detectButton.enabled
    picture(panel, "5_failed")


def test_closing_the_scene_while_the_worker_runs_ends_it(loaded, scene):
    panel, _ = loaded
    job = start_worker(panel)
    scene.Clear(False)
    settle()
    assert not panel.detection.is_running
    assert job._process.poll() is not None and not job.scratch.exists()
    assert panel.scans.chosen() == {} and not panel.ui.detectButton.enabled


class Finished:
    """Stands in for a job that is done."""

    def __init__(self, detection) -> None:
        self.detection = detection

    def result(self):
        return self.detection


def test_a_scan_removed_during_its_detection_is_explained(
    loaded, scene, small_detection, monkeypatch
):
    panel, node = loaded
    scene.RemoveNode(node)
    panel.onDetected(Finished(small_detection), {Modality.FLAIR: node})
    assert "was removed" in panel.ui.statusMessage.text


def test_sliders_set_before_detection_make_the_first_mask(loaded, small_detection):
    panel, node = loaded
    panel.ui.thresholdSlider.value = 0.4
    panel.ui.methodSelector.setCurrentText("fixed")
    panel.onDetected(Finished(small_detection), {Modality.FLAIR: node})
    assert (
        panel.ui.thresholdSlider.value == pytest.approx(0.4)
        and panel.session.settings.threshold.method.value == "fixed"
    )
    assert panel.session.results.settings == panel.session.settings


def test_levels_that_nobody_has_moved_are_the_defaults_for_the_chosen_scans(
    panel, small_patient, monkeypatch
):
    used = []

    def refuse(scans, detection):
        used.append(panel.tuning.settings())
        raise BadSettings("this is a test", "go on")

    monkeypatch.setattr(panel.logic, "startDetection", refuse)
    volume = small_patient.scans[Modality.T1].volume
    add_scan(volume, "Patient T1")
    click(panel.ui.guessButton)
    click(panel.ui.detectButton)
    assert panel.ui.thresholdSlider.value == pytest.approx(
        T1_THRESHOLD
    ) and panel.parameterNode.threshold == pytest.approx(T1_THRESHOLD)
    panel.ui.thresholdSlider.value = 0.6
    click(panel.ui.detectButton)
    click(panel.ui.resetButton)
    add_scan(volume, "Patient FLAIR")
    click(panel.ui.guessButton)
    click(panel.ui.detectButton)
    assert [s.threshold.threshold for s in used] == pytest.approx([T1_THRESHOLD, 0.6, 0.7])


def test_results_of_t1_alone_start_with_its_levels_and_reset_returns_to_them(
    panel, small_patient, small_detection
):
    from BrainSSLAnomalyLib.scene import Results

    node = add_scan(small_patient.scans[Modality.T1].volume, "Patient T1")
    scan = replace(small_detection.inputs[0], modality=Modality.T1)
    results = Results.write(
        replace(small_detection, modality=Modality.T1, inputs=(scan,)), {Modality.T1: node}
    )
    assert results.settings.threshold.threshold == T1_THRESHOLD
    panel.layers.listResults(results)
    panel.ui.thresholdSlider.value = 0.5
    click(panel.ui.resetButton)
    assert panel.ui.thresholdSlider.value == pytest.approx(T1_THRESHOLD)


def test_a_second_detection_keeps_rejected_findings_and_edits(
    detected, small_detection, monkeypatch
):
    import slicer

    panel, results = detected
    panel.session.reject([1])
    panel._showMask()
    node = results.segmentation
    edit = np.zeros(small_detection.brain_mask.shape, np.uint8)
    edit[20:23, 20:23, 20:23] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, *a, **k: questions.append(text) or True
    )
    panel.onDetected(Finished(small_detection), {Modality.FLAIR: results.reference})
    assert (
        len(questions) == 1
        and panel.session.rejected == {1}
        and panel.session.results.segmentation is not node
    )
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(
        node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    assert kept.sum() == 27 and node.GetName().endswith("(edited)")


def test_detection_settings_are_saved_with_the_scene_and_sent_to_the_worker(
    loaded, scene, tmp_path, monkeypatch
):
    import json

    from BrainSSLAnomalyLib.core.records import detection_from_dict
    from BrainSSLAnomalyLib.core.settings import (
        AnatomySource,
        DetectionSettings,
        DetectorName,
        Device,
    )
    from BrainSSLAnomalyLib.jobs.messages import REQUEST

    panel, _ = loaded
    assert (
        panel.detection.settings(panel.parameterNode) == DetectionSettings()
    )  # as the command line
    for name, value in (
        ("detector", "Network (hybrid)"),
        ("device", "cpu"),
        ("anatomy", "network"),
    ):
        getattr(panel.ui, f"{name}Selector").setCurrentText(value)
    panel.ui.testTimeCheckBox.checked = True
    wanted = DetectionSettings(
        DetectorName.HYBRID, anatomy=AnatomySource.NETWORK, test_time=True, device=Device.CPU
    )
    assert scene.WriteToMRB(str(tmp_path / "s.mrb"))
    scene.Clear(False)
    settle()
    assert (
        panel.ui.detectorSelector.currentText == "Automatic"
        and not panel.ui.testTimeCheckBox.checked
    )
    load(scene, tmp_path / "s.mrb")
    panel.onSceneReady()
    assert (
        panel.detection.settings(panel.parameterNode) == wanted
        and panel.ui.deviceSelector.currentText == "cpu"
    )
    picture(panel, "8_choices")
    click(panel.ui.detectButton)
    request = json.loads((panel.detection.monitor.job.scratch / REQUEST).read_text())
    assert detection_from_dict(request["detection"]) == wanted
    panel.detection.cancel(now=True)


def test_settings_of_the_network_alone_are_disabled_for_the_statistics(panel):
    for name, enabled in (("Statistics", False), ("Network (hybrid)", True), ("Automatic", True)):
        panel.ui.detectorSelector.setCurrentText(name)
        assert panel.ui.deviceSelector.enabled is enabled
        assert panel.ui.testTimeCheckBox.enabled is enabled


def test_detectors_are_named_in_words_and_the_scene_keeps_their_values(panel):
    selector, words = (
        panel.ui.detectorSelector,
        {"Automatic": "auto", "Statistics": "statistical", "Network (hybrid)": "hybrid"},
    )
    assert {selector.itemText(i) for i in range(selector.count)} == set(words)
    for word, value in words.items():
        selector.setCurrentText(word)
        assert panel.parameterNode.detector == value
        panel.onSceneReady()
        assert selector.currentText == word


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher of this test is a shell script")
def test_the_worker_runs_behind_slicers_launcher_and_cancel_reaches_it(
    loaded, tmp_path, monkeypatch
):
    import psutil
    from BrainSSLAnomalyLib import panel as sections

    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(
        f'#!/bin/sh\n"{sys.executable}" "$@"\ntrue\n'
    )  # does not pass on signals, as Slicer's
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert sections.slicer_python() == str(launcher)
    assert sections.worker_environment()
    panel, _ = loaded
    job = start_worker(panel)
    (child,) = psutil.Process(job._process._process.pid).children()
    click(panel.ui.cancelButton)
    until(lambda: not panel.detection.is_running)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
