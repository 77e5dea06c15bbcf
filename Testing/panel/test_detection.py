"""The panel detects as it was told to, in the background, and a detection that is refused, cancelled or dies leaves the scene as it was."""

from __future__ import annotations

import os
import sys
import time
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


def test_what_is_wrong_with_a_scan_is_said_before_detection(panel, small_patient):
    volume = small_patient.scans[Modality.FLAIR].volume
    add_scan(volume.with_array(np.ones_like(volume.array)), "FLAIR")
    click(panel.ui.guessButton)
    assert "same value" in panel.ui.scansMessage.text and not panel.ui.detectButton.enabled
    picture(panel, "2_refused")


def test_detection_runs_in_the_background_and_shows_layers_mask_and_findings(loaded):
    import slicer
    from BrainSSLAnomalyLib.scene import Results

    panel, node = loaded
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    begin = time.process_time()
    click(panel.ui.detectButton)
    assert (
        time.process_time() - begin < 2.0
        and panel.run.running
        and not panel.ui.detectButton.enabled
    )
    until(lambda: panel.ui.progressBar.value > 5)
    assert panel.ui.progressBar.visible and panel.ui.cancelButton.visible
    picture(panel, "3_running")
    until(lambda: not panel.run.running)
    (results,) = Results.everything()
    assert results.reference is node and panel.session.results == results
    assert composite.GetForegroundVolumeID() == results.layers["score"].GetID()
    assert panel.ui.findingsTable.rowCount == len(panel.session.findings) > 0
    assert (
        not panel.ui.progressBar.visible
        and panel.ui.detectButton.enabled
        and panel.ui.editButton.enabled
    )
    picture(panel, "4_detected")


def test_cancel_ends_within_two_seconds_and_leaves_the_scene(loaded, scene):
    panel, _ = loaded
    before = scene.GetNumberOfNodes()
    click(panel.ui.detectButton)
    settle(0.5)
    scratch = panel.run._job.scratch
    begin = time.monotonic()
    click(panel.ui.cancelButton)
    until(lambda: not panel.run.running)
    assert (
        time.monotonic() - begin < 4.0
        and scene.GetNumberOfNodes() == before
        and not scratch.exists()
    )
    assert "Cancelled" in panel.ui.statusMessage.text and panel.ui.detectButton.enabled


def test_a_worker_that_dies_is_explained_and_leaves_the_scene(loaded, scene):
    panel, _ = loaded
    before = scene.GetNumberOfNodes()
    click(panel.ui.detectButton)
    settle(0.3)
    panel.run._job._process.kill()
    until(lambda: not panel.run.running)
    assert (
        "memory" in panel.ui.statusMessage.text
        and scene.GetNumberOfNodes() == before
        and panel.ui.detectButton.enabled
    )
    picture(panel, "5_failed")


def test_closing_the_scene_while_the_worker_runs_ends_it(loaded, scene):
    panel, _ = loaded
    click(panel.ui.detectButton)
    settle(0.3)
    process, scratch = panel.run._job._process, panel.run._job.scratch
    scene.Clear(False)
    settle(0.3)
    assert not panel.run.running and process.poll() is not None and not scratch.exists()
    assert panel.scans.chosen() == {} and not panel.ui.detectButton.enabled


def test_a_scan_removed_while_it_is_worked_on_is_noticed(
    loaded, scene, small_detection, monkeypatch
):
    panel, node = loaded
    job = type("Job", (), {"detection": lambda self: small_detection})()
    scene.RemoveNode(node)
    panel.onDetected(job, {Modality.FLAIR: node})
    assert "was removed" in panel.ui.statusMessage.text


def test_sliders_set_before_detection_make_the_first_mask(loaded, small_detection):
    panel, node = loaded
    panel.ui.thresholdSlider.value = 0.4
    panel.ui.methodSelector.setCurrentText("fixed")
    job = type("Job", (), {"detection": lambda self: small_detection})()
    panel.onDetected(job, {Modality.FLAIR: node})
    assert (
        panel.ui.thresholdSlider.value == pytest.approx(0.4)
        and panel.session.settings.threshold.method.value == "fixed"
    )
    assert panel.session.results.settings == panel.session.settings


def test_levels_that_nobody_has_moved_are_those_for_the_scans_chosen(
    panel, small_patient, monkeypatch
):
    asked = []

    def refuse(scans, detection, segmentation):
        asked.append(segmentation)
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
    assert [s.threshold.threshold for s in asked] == pytest.approx([T1_THRESHOLD, 0.6, 0.7])


def test_results_of_t1_alone_begin_with_its_levels_and_reset_goes_back_to_them(
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
    asked = []
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, *a, **k: asked.append(text) or True
    )
    job = type("Job", (), {"detection": lambda self: small_detection})()
    panel.onDetected(job, {Modality.FLAIR: results.reference})
    assert (
        len(asked) == 1
        and panel.session.rejected == {1}
        and panel.session.results.segmentation is not node
    )
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(
        node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    assert kept.sum() == 27 and node.GetName().endswith("(edited)")


def test_how_to_detect_is_chosen_saved_with_the_scene_and_handed_to_the_worker(
    loaded, scene, tmp_path, monkeypatch
):
    import json

    from BrainSSLAnomalyLib.core.settings import (
        AnatomySource,
        DetectionSettings,
        DetectorName,
        Device,
        detection_from_dict,
    )
    from BrainSSLAnomalyLib.jobs.worker import REQUEST

    panel, _ = loaded
    assert panel.run.settings(panel.parameterNode) == DetectionSettings()  # as the command line
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
        panel.run.settings(panel.parameterNode) == wanted
        and panel.ui.deviceSelector.currentText == "cpu"
    )
    picture(panel, "8_choices")
    click(panel.ui.detectButton)
    request = json.loads((panel.run._job.scratch / REQUEST).read_text())
    assert detection_from_dict(request["detection"]) == wanted
    panel.run.cancel(now=True)


def test_what_only_the_network_listens_to_is_greyed_for_the_statistics(panel):
    for name, looks in (("Statistics", False), ("Network (hybrid)", True), ("Automatic", True)):
        panel.ui.detectorSelector.setCurrentText(name)
        assert (
            panel.ui.deviceSelector.enabled is looks and panel.ui.testTimeCheckBox.enabled is looks
        )


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
    from BrainSSLAnomalyLib import panel as rooms

    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(
        f'#!/bin/sh\n"{sys.executable}" "$@"\ntrue\n'
    )  # does not hand on signals, as Slicer's
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert rooms.python() == str(launcher) and rooms.environment()
    panel, _ = loaded
    click(panel.ui.detectButton)
    until(lambda: panel.ui.progressBar.value > 0)
    (child,) = psutil.Process(panel.run._job._process.pid).children()
    click(panel.ui.cancelButton)
    until(lambda: not panel.run.running)
    end = time.monotonic() + 5
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the worker lives on"
        time.sleep(0.05)
