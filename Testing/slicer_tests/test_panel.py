"""The panel, driven as a user would: real MRML, real worker, Qt under PythonQt's rules. Where ``SLICER_SOURCE`` names a checkout of
Slicer, its own ``ScriptedLoadableModule`` and ``parameterNodeWrapper`` are used. ``PANEL_PICTURES`` names a folder for screenshots."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from BrainSSLAnomalyLib.demo import synthetic_patient
from BrainSSLAnomalyLib.settings import SegmentationSettings
from BrainSSLAnomalyLib.study import Modality
from optional import needed

needed("slicer")
needed("PySide6.QtWidgets")


@pytest.fixture(scope="session")
def module():
    """The module file, imported in a Slicer-like process."""
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import slicer_python

    slicer_python.start()
    import BrainSSLAnomaly

    return BrainSSLAnomaly


@pytest.fixture(scope="session")
def small_patient():
    study, _ = synthetic_patient(0, 4.0)
    return study


@pytest.fixture(scope="session")
def small_detection(small_patient):
    """What the detector says of the FLAIR alone; worked out once."""
    from BrainSSLAnomalyLib.detector import detect
    from BrainSSLAnomalyLib.study import Study

    return detect(Study({Modality.FLAIR: small_patient.scans[Modality.FLAIR]}))


@pytest.fixture
def raised(monkeypatch):
    """What was raised where nobody could catch it: in slots of Qt and observers of VTK."""
    errors = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: errors.append(error))
    return errors


@pytest.fixture
def panel(module, scene, raised):
    """An open panel on an empty scene; an exception in any slot or observer fails the test."""
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
    from test_scene import add_scan

    node = add_scan(small_patient.scans[Modality.FLAIR].volume, "Patient FLAIR")
    panel.scans.guess()
    settle()
    return panel, node


@pytest.fixture
def detected(loaded, small_detection):
    """The panel with results, without waiting for the worker."""
    from BrainSSLAnomalyLib.scene import Results

    panel, node = loaded
    results = Results.write(small_detection, {Modality.FLAIR: node})
    panel.layers.listResults(results)
    panel.onSettingsSettled()
    settle()
    return panel, results


def settle(seconds: float = 0.0) -> None:
    import slicer

    end = time.monotonic() + seconds
    slicer.app.processEvents()
    while time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)


def until(true, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        settle(0.05)


def picture(panel, name: str) -> None:
    folder = os.environ.get("PANEL_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        settle(0.1)
        panel.parent.grab().save(str(Path(folder) / f"{name}.png"))


def click(button) -> None:
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    QTest.mouseClick(button, QtCore.Qt.MouseButton.LeftButton)
    settle()


def voxels(results) -> int:
    import slicer

    node = results.segmentation
    ids = node.GetSegmentation().GetSegmentIDs()
    return sum(int(slicer.util.arrayFromSegmentBinaryLabelmap(node, i, results.reference).sum()) for i in ids)


def test_an_exception_in_a_slot_or_an_observer_is_noticed(module, scene, raised):
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    tag = scene.AddObserver(scene.NodeAddedEvent, lambda *_: [][1])
    button.click()
    scene.AddNewNodeByClass("vtkMRMLTextNode")
    assert [type(e) for e in raised] == [ZeroDivisionError, IndexError]
    scene.RemoveObserver(tag)


def test_the_panel_opens_without_torch_and_within_a_second(module, scene):
    had_torch = "torch" in sys.modules
    start = time.process_time()  # of this process: other work on the machine does not count
    widget = module.BrainSSLAnomalyWidget()
    assert time.process_time() - start < 1.0
    assert ("torch" in sys.modules) == had_torch
    assert not widget.ui.detectButton.enabled and not widget.ui.editButton.enabled
    picture(widget, "1_empty")
    widget.cleanup()


def test_what_is_wrong_with_a_scan_is_said_before_detection(panel, small_patient):
    from test_scene import add_scan

    volume = small_patient.scans[Modality.FLAIR].volume
    add_scan(volume.with_array(np.ones_like(volume.array)), "FLAIR")
    click(panel.ui.guessButton)
    assert "same value" in panel.ui.scansMessage.text and not panel.ui.detectButton.enabled
    picture(panel, "2_refused")


def test_the_synthetic_patient_is_loaded_and_guessed(panel, monkeypatch):
    from BrainSSLAnomalyLib.panel import sampledata

    real = sampledata.load
    monkeypatch.setattr(sampledata, "load", lambda: real(4.0))
    click(panel.ui.sampleButton)
    assert {m.value for m in panel.scans.chosen()} == {"FLAIR", "T1", "T2"} and panel.ui.detectButton.enabled
    assert "Synthetic FLAIR (FLAIR)" in panel.ui.scansMessage.text


def test_detection_runs_in_the_background_and_shows_layers_mask_and_findings(loaded):
    import slicer
    from BrainSSLAnomalyLib.scene import Results

    panel, node = loaded
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    begin = time.process_time()
    click(panel.ui.detectButton)
    assert time.process_time() - begin < 2.0 and panel.run.running and not panel.ui.detectButton.enabled
    until(lambda: panel.ui.progressBar.value > 5)
    assert panel.ui.progressBar.visible and panel.ui.cancelButton.visible
    picture(panel, "3_running")
    until(lambda: not panel.run.running)
    (results,) = Results.everything()
    assert results.reference is node and panel.session.results == results
    assert composite.GetForegroundVolumeID() == results.layers["score"].GetID()
    assert panel.ui.findingsTable.rowCount == len(panel.session.findings) > 0
    assert not panel.ui.progressBar.visible and panel.ui.detectButton.enabled and panel.ui.editButton.enabled
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
    assert time.monotonic() - begin < 4.0 and scene.GetNumberOfNodes() == before and not scratch.exists()
    assert "Cancelled" in panel.ui.statusMessage.text and panel.ui.detectButton.enabled


def test_a_worker_that_dies_is_explained_and_leaves_the_scene(loaded, scene):
    panel, _ = loaded
    before = scene.GetNumberOfNodes()
    click(panel.ui.detectButton)
    settle(0.3)
    panel.run._job._process.kill()
    until(lambda: not panel.run.running)
    assert "memory" in panel.ui.statusMessage.text and scene.GetNumberOfNodes() == before and panel.ui.detectButton.enabled
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


def test_a_scan_removed_while_it_is_worked_on_is_noticed(loaded, scene, small_detection, monkeypatch):
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
    assert panel.ui.thresholdSlider.value == pytest.approx(0.4) and panel.session.settings.threshold.method.value == "fixed"
    assert panel.session.results.settings == panel.session.settings


def test_a_second_detection_keeps_rejected_findings_and_edits(detected, small_detection, monkeypatch):
    import slicer

    panel, results = detected
    panel.session.reject([1])
    panel._showMask()
    node = results.segmentation
    edit = np.zeros(small_detection.brain_mask.shape, np.uint8)
    edit[20:23, 20:23, 20:23] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference)
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, *a, **k: asked.append(text) or True)
    job = type("Job", (), {"detection": lambda self: small_detection})()
    panel.onDetected(job, {Modality.FLAIR: results.reference})
    assert len(asked) == 1 and panel.session.rejected == {1} and panel.session.results.segmentation is not node
    kept = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), results.reference)
    assert kept.sum() == 27 and node.GetName().endswith("(edited)")


def test_the_display_follows_a_slider_at_once_and_the_mask_when_it_rests(detected):
    panel, results = detected
    display = results.layers["score"].GetDisplayNode()
    before = voxels(results)
    panel.ui.lowSlider.value = 0.6
    assert display.GetLowerThreshold() == pytest.approx(0.6) and voxels(results) == before
    settle(0.2)
    after = voxels(results)
    assert 0 < after < before
    assert panel.parameterNode.low == pytest.approx(0.6)
    click(panel.ui.resetButton)
    assert voxels(results) == before and panel.ui.lowSlider.value == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["opening", "closing", "dilation", "erosion", "smallest"])
def test_every_clean_up_slider_changes_the_mask_as_the_command_line_would(detected, name):
    from BrainSSLAnomalyLib.segmentation import segment

    panel, results = detected
    getattr(panel.ui, f"{name}Slider").value = {"smallest": 1.0}.get(name, 4.0)
    settle(0.2)
    settings = panel.tuning.settings()
    assert settings != SegmentationSettings()
    assert voxels(results) == segment(panel.session.detection, settings).mask.sum()


@pytest.mark.parametrize("method", ["fixed", "percentile", "robust-z", "otsu", "hysteresis"])
def test_every_method_shows_its_sliders_and_cuts(detected, method):
    from BrainSSLAnomalyLib.segmentation import segment

    panel, results = detected
    panel.ui.methodSelector.setCurrentText(method)
    settle(0.2)
    shown = {n for n in ("threshold", "low", "percentile", "zscore") if not getattr(panel.ui, f"{n}Slider").isHidden()}
    wanted = {"fixed": {"threshold"}, "percentile": {"percentile"}, "robust-z": {"zscore"}, "hysteresis": {"threshold", "low"}}
    assert shown == wanted.get(method, set()) and panel.parameterNode.method == method
    assert voxels(results) == segment(panel.session.detection, panel.tuning.settings()).mask.sum()


def test_findings_are_rejected_and_accepted_by_button_and_key_and_selecting_jumps(detected):
    import slicer
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    panel, results = detected
    view = slicer.mrmlScene.AddNode(slicer.vtkMRMLSliceNode())
    whole, table = voxels(results), panel.ui.findingsTable
    table.selectRow(0)
    settle()
    assert view.GetSliceOffset() == pytest.approx(panel.session.findings[0].peak_ras[2], abs=0.1)
    click(panel.ui.rejectButton)
    assert panel.session.rejected == {1} and voxels(results) < whole
    assert table.item(0, 4).text() == "rejected" and "1 rejected." in panel.ui.totalsLabel.text
    picture(panel, "6_rejected")
    click(panel.ui.acceptButton)
    assert voxels(results) == whole
    panel.parent.activateWindow()
    table.setFocus()
    settle(0.1)
    QTest.keyClick(table, QtCore.Qt.Key.Key_R)
    settle()
    assert panel.session.rejected == {1}
    panel.findings.accept()


def test_how_to_detect_is_chosen_saved_with_the_scene_and_handed_to_the_worker(loaded, scene, tmp_path, monkeypatch):
    import json

    from BrainSSLAnomalyLib.settings import AnatomySource, DetectionSettings, DetectorName, Device, detection_from_dict
    from BrainSSLAnomalyLib.worker import REQUEST
    from test_scene import load

    panel, _ = loaded
    assert panel.run.settings(panel.parameterNode) == DetectionSettings()  # as the command line
    for name, value in (("detector", "Network (hybrid)"), ("device", "cpu"), ("anatomy", "network")):
        getattr(panel.ui, f"{name}Selector").setCurrentText(value)
    panel.ui.testTimeCheckBox.checked = True
    wanted = DetectionSettings(DetectorName.HYBRID, anatomy=AnatomySource.NETWORK, test_time=True, device=Device.CPU)
    assert scene.WriteToMRB(str(tmp_path / "s.mrb"))
    scene.Clear(False)
    settle()
    assert panel.ui.detectorSelector.currentText == "Automatic" and not panel.ui.testTimeCheckBox.checked
    load(scene, tmp_path / "s.mrb")
    panel.onSceneReady()
    assert panel.run.settings(panel.parameterNode) == wanted and panel.ui.deviceSelector.currentText == "cpu"
    picture(panel, "8_choices")
    click(panel.ui.detectButton)
    request = json.loads((panel.run._job.scratch / REQUEST).read_text())
    assert detection_from_dict(request["detection"]) == wanted
    panel.run.cancel(now=True)


def test_what_only_the_network_listens_to_is_greyed_for_the_statistics(panel):
    for name, looks in (("Statistics", False), ("Network (hybrid)", True), ("Automatic", True)):
        panel.ui.detectorSelector.setCurrentText(name)
        assert panel.ui.deviceSelector.enabled is looks and panel.ui.testTimeCheckBox.enabled is looks


def test_detectors_are_named_in_words_and_the_scene_keeps_their_values(panel):
    selector, words = panel.ui.detectorSelector, {"Automatic": "auto", "Statistics": "statistical", "Network (hybrid)": "hybrid"}
    assert {selector.itemText(i) for i in range(selector.count)} == set(words)
    for word, value in words.items():
        selector.setCurrentText(word)
        assert panel.parameterNode.detector == value
        panel.onSceneReady()
        assert selector.currentText == word


def test_the_table_is_copied_and_saved(detected, tmp_path, monkeypatch):
    import qt

    panel, _ = detected
    click(panel.ui.copyButton)
    assert qt.QApplication.clipboard().text().startswith("number,volume_ml")
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", staticmethod(lambda *a: str(tmp_path / "f.csv")))
    click(panel.ui.csvButton)
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 1 + len(panel.session.findings)


def test_the_table_of_the_panel_is_that_of_the_command_line_but_for_what_was_rejected(detected, tmp_path, monkeypatch):
    import csv
    import io

    import qt
    from BrainSSLAnomalyLib.report import write_report
    from BrainSSLAnomalyLib.segmentation import segment

    panel, _ = detected
    settings, detection = panel.tuning.settings(), panel.session.detection
    write_report(tmp_path, detection, segment(detection, settings), settings)  # as `segment` and `detect` of the command line
    assert panel.findings.text() == (tmp_path / "findings.csv").read_text()
    panel.ui.findingsTable.selectRow(1)
    click(panel.ui.rejectButton)
    rows = list(csv.DictReader(io.StringIO(panel.findings.text())))
    assert [r["review"] for r in rows[:3]] == ["accepted", "rejected", "accepted"]
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(tmp_path / "saved")))
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", staticmethod(lambda url: True))
    click(panel.ui.reportButton)
    assert (tmp_path / "saved" / "Patient FLAIR_anomalies" / "findings.csv").read_text() == panel.findings.text()


def test_layers_are_chosen_windowed_hidden_and_given_a_legend(detected):
    import slicer

    panel, results = detected
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    z = results.layers["zscore-FLAIR"]
    panel.ui.layerSelector.setCurrentText("z on FLAIR")
    panel.ui.secondLayerSelector.setCurrentText("anomaly score")
    assert composite.GetForegroundVolumeID() == z.GetID() and composite.GetNthLayerVolumeID(3) == results.layers["score"].GetID()
    assert (panel.ui.windowRange.minimumValue, panel.ui.windowRange.maximumValue) == (-8, 8)
    panel.ui.windowRange.setValues(-4, 4)
    assert z.GetDisplayNode().GetWindowLevelMax() == pytest.approx(4)
    panel.ui.opacitySlider.value = 0.3
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    panel.ui.legendCheckBox.checked = True
    assert slicer.modules.colors.logic().GetColorLegendDisplayNode(z).GetVisibility()
    panel.layers._on_hide()
    assert composite.GetForegroundVolumeID() is None
    panel.layers._on_hide()
    assert composite.GetForegroundVolumeID() == z.GetID()


def test_every_map_of_the_network_is_offered_in_its_own_window_and_only_where_it_exists(detected, small_detection):
    import slicer
    from BrainSSLAnomalyLib.scene import Results
    from conftest import as_by_network

    panel, results = detected
    offered = lambda: [panel.ui.layerSelector.itemText(n) for n in range(panel.ui.layerSelector.count)]  # noqa: E731
    assert offered() == ["None", "anomaly score", "z on FLAIR"] and not panel.ui.flipButton.enabled
    panel.layers.listResults(Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference}))
    maps = ["reconstruction", "reconstruction error", "feature distance", "uncertainty", "Grad-CAM of all findings"]
    assert offered()[3:] == maps
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    for title, top in zip(maps[1:], (4.0, 1.5, 3.0, 1.0), strict=True):
        panel.ui.layerSelector.setCurrentText(title)
        assert composite.GetForegroundVolumeID() == slicer.util.getNode(f"Patient FLAIR {title}").GetID()
        assert panel.ui.windowRange.maximumValue == pytest.approx(top)
    panel.ui.layerSelector.setCurrentText("reconstruction")
    display = results.reference.GetDisplayNode()
    assert panel.ui.windowRange.maximumValue == pytest.approx(display.GetWindowLevelMax(), abs=0.01)
    panel.layers.listResults(Results.write(small_detection, {Modality.FLAIR: results.reference}))
    assert offered() == ["None", "anomaly score", "z on FLAIR"]


def test_a_key_and_a_button_flip_between_scan_and_reconstruction_in_the_same_window(detected, small_detection):
    import slicer
    from BrainSSLAnomalyLib.scene import Results
    from conftest import as_by_network
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    panel, results = detected
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.layers.listResults(Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference}))
    scan, healthy = results.reference, results.layers["reconstruction"]
    assert composite.GetBackgroundVolumeID() == scan.GetID() and panel.ui.flipButton.enabled
    scan.GetDisplayNode().AutoWindowLevelOff()
    scan.GetDisplayNode().SetWindowLevelMinMax(20, 333)
    click(panel.ui.flipButton)
    assert composite.GetBackgroundVolumeID() == healthy.GetID()
    assert composite.GetForegroundVolumeID() == results.layers["score"].GetID()
    assert healthy.GetDisplayNode().GetWindowLevelMax() == pytest.approx(333)
    picture(panel, "9_reconstruction")
    click(panel.ui.flipButton)
    assert composite.GetBackgroundVolumeID() == scan.GetID()
    panel.parent.activateWindow()
    panel.ui.layerSelector.setFocus()
    settle(0.1)
    for shown in (healthy, scan):
        QTest.keyClick(panel.ui.opacitySlider, QtCore.Qt.Key.Key_F)
        settle()
        assert composite.GetBackgroundVolumeID() == shown.GetID()
    click(panel.ui.flipButton)
    slicer.mrmlScene.RemoveNode(healthy)  # by hand, in the Data module
    panel.layers.listResults()
    panel.ui.opacitySlider.value = 0.5
    assert composite.GetBackgroundVolumeID() == scan.GetID() and not panel.ui.flipButton.enabled
    panel.layers.listResults(Results.write(small_detection, {Modality.FLAIR: scan}))
    assert not panel.ui.flipButton.enabled and composite.GetBackgroundVolumeID() == scan.GetID()


@pytest.fixture
def seen(detected, small_detection):
    """The panel with results of the network."""
    from BrainSSLAnomalyLib.scene import Results
    from conftest import as_by_network

    panel, results = detected
    panel.layers.listResults(Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference}))
    panel.onSettingsSettled()
    settle()
    return panel, results


class Answer:
    """Stands in for the job that explains a finding."""

    def __init__(self, asked, sentence="") -> None:
        from BrainSSLAnomalyLib.jobs import JobFailed, JobState, Status

        self.asked, self.closed, self.state = asked, False, JobState()
        self._done = JobState(Status.FAILED if sentence else Status.DONE, sentence=sentence)
        self._error = JobFailed(sentence.rstrip("."), "choose the finding again") if sentence else None

    def poll(self):
        return self.state

    def end(self) -> None:
        self.state = self._done

    def finding_map(self):
        if self._error:
            raise self._error
        return self.asked.astype(np.float32)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def questions(monkeypatch):
    """Every question about a finding; `questions.sentence` makes the next ones fail."""
    from BrainSSLAnomalyLib import jobs

    class Questions(list):
        sentence = ""

    asked = Questions()

    def start(looked_at, brain, finding, *options):
        asked.append(Answer(finding, asked.sentence))
        return asked[-1]

    monkeypatch.setattr(jobs, "start_explanation", start)
    return asked


def test_selecting_a_finding_shows_its_own_grad_cam_and_the_last_one_counts(seen, questions):
    import slicer

    panel, results = seen
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    labels = panel.session.segmentation.labels
    for row in (0, 1):
        panel.ui.findingsTable.selectRow(row)
        settle()
    assert len(questions) == 2 and questions[0].closed and "finding 2 ..." in panel.ui.explainMessage.text
    assert all(np.array_equal(q.asked, labels == n) for n, q in enumerate(questions, start=1))
    questions[0].end()
    settle(0.3)
    assert "finding" not in results.layers
    questions[1].end()
    until(lambda: not panel.explaining.running, 5)
    assert composite.GetForegroundVolumeID() == results.layers["finding"].GetID()
    assert panel.ui.layerSelector.currentText == "Grad-CAM of finding 2" and "finding 2 alone" in panel.ui.explainMessage.text
    assert (slicer.util.arrayFromVolume(results.layers["finding"]) > 0).sum() == (labels == 2).sum()
    picture(panel, "10_finding_explained")
    panel.ui.lowSlider.value = 0.6
    settle(0.2)
    offered = [panel.ui.layerSelector.itemText(n) for n in range(panel.ui.layerSelector.count)]
    assert "Grad-CAM of finding 2" not in offered and panel.ui.layerSelector.currentText == "anomaly score"
    assert composite.GetForegroundVolumeID() == results.layers["score"].GetID() and panel.ui.explainMessage.text == ""


def test_a_question_is_given_up_when_findings_change_and_its_failure_is_explained(seen, questions):
    panel, results = seen
    panel.ui.findingsTable.selectRow(0)
    settle()
    panel.ui.lowSlider.value = 0.6
    settle(0.2)
    assert questions[0].closed and not panel.explaining.running
    questions.sentence = "There was not enough memory: close other programs."
    panel.ui.findingsTable.selectRow(1)
    settle()
    questions[1].end()
    until(lambda: not panel.explaining.running, 5)
    assert "not enough memory" in panel.ui.explainMessage.text and "finding" not in results.layers
    panel.ui.explainCheckBox.checked = False
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert len(questions) == 2 and panel.ui.explainMessage.text == ""


def test_where_a_finding_cannot_be_explained_alone_that_is_said(seen, questions):
    import slicer

    panel, _ = seen
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Patient FLAIR network input FLAIR"))
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert not questions and "of all findings, not of finding 1 alone" in panel.ui.explainMessage.text
    assert panel.ui.layerSelector.currentText == "Grad-CAM of all findings"


def test_the_statistics_explain_no_finding(detected, questions):
    panel, _ = detected
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert not panel.ui.explainCheckBox.enabled and not questions


def test_closing_the_scene_ends_a_question(seen, questions, scene):
    panel, _ = seen
    panel.ui.findingsTable.selectRow(0)
    settle()
    scene.Clear(False)
    settle(0.3)
    assert questions[0].closed and not panel.explaining.running and not panel.ui.explainCheckBox.enabled


def test_the_real_worker_explains_a_finding(seen):
    panel, _ = seen
    for package in ("torch", "monai", "einops"):
        pytest.importorskip(package)
    panel.ui.findingsTable.selectRow(0)
    settle()
    until(lambda: not panel.explaining.running)
    assert "finding 1 alone" in panel.ui.explainMessage.text, panel.ui.explainMessage.text
    assert panel.ui.layerSelector.currentText == "Grad-CAM of finding 1"


def test_the_network_behind_the_panel_brings_its_layers_and_explains_a_finding(loaded):
    from BrainSSLAnomalyLib.scene import Results

    for package in ("torch", "monai", "einops"):
        pytest.importorskip(package)
    panel, _ = loaded
    panel.ui.detectorSelector.setCurrentText("Network (hybrid)")
    panel.ui.deviceSelector.setCurrentText("cpu")
    click(panel.ui.detectButton)
    until(lambda: not panel.run.running)
    (results,) = Results.everything()
    assert panel.session.detection.detector == "hybrid", panel.ui.statusMessage.text
    assert {"reconstruction", "reconstruction_error", "latent_distance", "uncertainty", "gradcam"} <= set(results.layers)
    assert results.explainable and panel.ui.flipButton.enabled and panel.ui.findingsTable.rowCount > 0
    panel.ui.findingsTable.selectRow(0)
    until(lambda: not panel.explaining.running)
    assert panel.ui.layerSelector.currentText == "Grad-CAM of finding 1", panel.ui.explainMessage.text


def test_one_segment_a_finding_and_the_surface_on_demand(detected):
    panel, results = detected
    panel.ui.oneEachCheckBox.checked = True
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == len(panel.session.findings)
    panel.ui.surfaceCheckBox.checked = True
    assert results.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.thresholdSlider.value = 0.9
    settle(0.2)
    assert results.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")


@pytest.mark.parametrize("keep", [True, False])
def test_an_edited_mask_is_never_overwritten_unasked(detected, keep, monkeypatch):
    import slicer

    panel, results = detected
    node = results.segmentation
    edit = np.zeros(panel.session.detection.brain_mask.shape, np.uint8)
    edit[20:23, 20:23, 20:23] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference)
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, *a, **k: asked.append(text) or keep)
    for low in (0.5, 0.6):
        panel.ui.lowSlider.value = low
        settle(0.2)
    assert len(asked) == 1 and "edited by hand" in asked[0]
    left = slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0), results.reference)
    assert left.sum() == 27 and (results.segmentation is node) is not keep


def test_the_segment_editor_is_opened_with_segmentation_and_scan(detected, monkeypatch):
    import types

    import slicer

    panel, results = detected
    opened, editor = [], slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    widget = types.SimpleNamespace(self=lambda: types.SimpleNamespace(parameterSetNode=editor))
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    monkeypatch.setattr(slicer.modules, "segmenteditor", types.SimpleNamespace(widgetRepresentation=lambda: widget), raising=False)
    click(panel.ui.editButton)
    assert opened == ["SegmentEditor"]
    assert editor.GetSegmentationNode() is results.segmentation and editor.GetSourceVolumeNode() is results.reference


def test_mask_and_report_are_saved(detected, tmp_path, monkeypatch):
    import qt

    panel, _ = detected
    opened = []
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", staticmethod(lambda *a: str(tmp_path / "mask.nii.gz")))
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(tmp_path)))
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", staticmethod(opened.append))
    click(panel.ui.saveMaskButton)
    click(panel.ui.reportButton)
    assert (tmp_path / "mask.nii.gz").is_file() and (tmp_path / "Patient FLAIR_anomalies" / "report.html").is_file() and opened


def test_sliders_findings_and_layers_come_back_with_a_loaded_scene(detected, scene, tmp_path):
    from test_scene import load

    panel, results = detected
    panel.ui.thresholdSlider.value = 0.8
    settle(0.2)
    panel.ui.findingsTable.selectRow(0)
    click(panel.ui.rejectButton)
    count = voxels(results)
    assert scene.WriteToMRB(str(tmp_path / "s.mrb"))
    scene.Clear(False)
    settle()
    assert panel.session is None and panel.ui.findingsTable.rowCount == 0
    load(scene, tmp_path / "s.mrb")
    panel.onSceneReady()
    settle(0.2)
    assert panel.ui.thresholdSlider.value == pytest.approx(0.8) and panel.session.rejected == {1}
    assert voxels(panel.session.results) == count and panel.scans.chosen()


def test_results_deleted_by_hand_are_missed_without_an_error(detected, scene):
    panel, results = detected
    scene.RemoveNode(results.layers["score"])
    panel.ui.thresholdSlider.value = 0.5
    settle(0.2)
    assert panel.session is None and panel.ui.findingsTable.rowCount == 0


def test_missing_packages_are_named_and_installed_only_after_asking(panel, monkeypatch):
    import slicer
    from BrainSSLAnomalyLib.panel import dependencies

    gone, asked, got = ["nibabel>=5.1"], [], []
    monkeypatch.setattr(dependencies, "missing", lambda: list(gone))
    monkeypatch.setattr(dependencies, "install", lambda: (got.append(1), gone.clear()))
    panel.care.sayWhatIsMissing()
    assert "nibabel" in panel.ui.statusMessage.text and not panel.ui.installButton.isHidden()
    picture(panel, "7_missing")
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *a, **k: asked.append(text) or len(asked) > 1)
    assert not panel.care.ready() and not got
    assert panel.care.ready() and got and "nibabel" in asked[0]
    assert panel.ui.installButton.isHidden()


def test_an_installation_that_fails_is_explained(panel, monkeypatch):
    import slicer
    from BrainSSLAnomalyLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["nibabel>=5.1"])
    monkeypatch.setattr(dependencies, "install", lambda: 1 / 0)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a, **k: True)
    panel.care.install()
    assert "could not be installed" in panel.ui.statusMessage.text


def test_requirements_are_read_and_compared():
    from BrainSSLAnomalyLib.panel import dependencies

    assert "nibabel>=5.1" in dependencies.needed() and dependencies.missing() == []
    assert not dependencies._there("nibabel>=99") and not dependencies._there("no-such-package-at-all")


def test_the_self_check_names_versions_and_finds_the_made_lesions(panel):
    click(panel.ui.selfCheckButton)
    assert "BrainSSLAnomaly" in panel.ui.logText.toPlainText() and "numpy" in panel.ui.logText.toPlainText()
    until(lambda: not panel.run.running)
    assert panel.ui.statusMessage.text == "Self-check passed." and "findings in a made patient" in panel.ui.logText.toPlainText()


def test_the_logic_is_scripted_as_documented(module, scene, small_patient):
    import slicer
    from BrainSSLAnomalyLib.errors import BrainSSLAnomalyError
    from test_scene import add_scan

    logic = module.BrainSSLAnomalyLogic()
    with pytest.raises(BrainSSLAnomalyError, match="no scan"):
        logic.detect()
    add_scan(small_patient.scans[Modality.FLAIR].volume, "FLAIR")
    stages = []
    results = logic.detect(FLAIR=slicer.util.getNode("FLAIR"), progress=lambda stage, fraction: stages.append(stage))
    segmentation = logic.segment(results)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1 and len(set(stages)) > 3
    assert logic.session(results).findings


def test_the_self_test_that_runs_within_slicer_passes_here(module, scene):
    test = module.BrainSSLAnomalyTest()
    test.setUp()
    test.test_refusalLeavesTheScene()


def test_the_worker_runs_from_the_files_that_cmake_installs_alone(tmp_path):
    import re
    import subprocess

    module_folder = Path(__file__).parents[2] / "BrainSSLAnomaly"
    listed = re.findall(r"^  ((?:BrainSSLAnomaly|Resources)\S+)$", (module_folder / "CMakeLists.txt").read_text(), re.MULTILINE)
    for name in listed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module_folder / name, tmp_path / name)
    code = (
        "import BrainSSLAnomalyLib.worker as w, BrainSSLAnomalyLib.detector, BrainSSLAnomalyLib.demo as d; "
        "d.load_template(); print(w.__file__)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(tmp_path) in out.stdout


def test_the_right_click_menu_offers_detection_on_scans_alone_and_starts_it(panel, small_patient, monkeypatch):
    import types

    import qt
    import slicer
    from test_scene import add_scan, hierarchy

    base = types.ModuleType("AbstractScriptedSubjectHierarchyPlugin")
    base.AbstractScriptedSubjectHierarchyPlugin = type("Base", (), {"__init__": lambda self, plugin: setattr(self, "plugin", plugin)})
    monkeypatch.setitem(sys.modules, base.__name__, base)
    from BrainSSLAnomalyLib.panel import MENU_FILE
    from BrainSSLAnomalyLib.panel.BrainSSLAnomalySubjectHierarchyPlugin import BrainSSLAnomalySubjectHierarchyPlugin

    assert Path(MENU_FILE).is_file() and Path(MENU_FILE).stem == "BrainSSLAnomalySubjectHierarchyPlugin"
    plugin = BrainSSLAnomalySubjectHierarchyPlugin(qt.QObject())
    scan = add_scan(small_patient.scans[Modality.FLAIR].volume, "some FLAIR")
    item = hierarchy().GetItemByDataNode(scan)
    plugin.showContextMenuActionsForItem(item)
    assert plugin.itemContextMenuActions() == [plugin.action] and plugin.action.visible
    plugin.showContextMenuActionsForItem(hierarchy().GetSceneItemID())
    assert not plugin.action.visible
    opened, started = [], []
    handler = types.SimpleNamespace(instance=lambda: types.SimpleNamespace(currentItem=lambda: item))
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyPluginHandler", handler, raising=False)
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    representation = types.SimpleNamespace(self=lambda: panel)
    monkeypatch.setattr(slicer.modules.brainsslanomaly, "widgetRepresentation", lambda: representation, raising=False)
    monkeypatch.setattr(panel, "onDetect", lambda: started.append(panel.scans.chosen()))
    plugin.onDetect()
    assert opened == ["BrainSSLAnomaly"] and started == [{Modality.FLAIR: scan}]


def test_the_module_registers_menu_and_sample_data(module, monkeypatch):
    import types

    import slicer

    sources, registered = [], []
    scripted = type("Plugin", (), {"__init__": lambda self, parent: None, "setPythonSource": lambda self, path: sources.append(path)})
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin", scripted, raising=False)
    sample = types.ModuleType("SampleData")
    sample.SampleDataLogic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **facts: registered.append(facts))
    monkeypatch.setitem(sys.modules, "SampleData", sample)
    parent = types.SimpleNamespace(path=module.__file__, icon=None)
    entry = module.BrainSSLAnomaly(parent)
    entry.setup()
    slicer.app.connected["startupCompleted()"]()
    assert sources and sources[0].endswith("BrainSSLAnomalySubjectHierarchyPlugin.py")
    assert registered[0]["customDownloader"] and Path(registered[0]["thumbnailFileName"]).is_file()
    assert parent.title and parent.helpText and parent.acknowledgementText and parent.contributors and parent.categories


def test_reloading_reads_the_package_anew(module, panel, monkeypatch):
    monkeypatch.setattr(module.ScriptedLoadableModuleWidget, "onReload", lambda self: None)
    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "BrainSSLAnomalyLib"}
    try:
        panel.onReload()
        assert not [n for n in sys.modules if n.split(".")[0] == "BrainSSLAnomalyLib"]
    finally:
        sys.modules.update(before)


def test_leaving_and_entering_the_panel_keeps_what_is_shown(detected):
    panel, results = detected
    panel.enter()
    assert panel.session.results == results and panel.ui.resultsSelector.currentText == "Patient FLAIR"


def test_the_panel_opens_and_says_what_is_missing_where_nothing_is_installed():
    import subprocess

    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"cc3d", "nibabel", "skimage", "jinja2", "matplotlib", "torch", "monai", "typer", "rich"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import slicer_python
slicer = slicer_python.start()
import BrainSSLAnomaly
from BrainSSLAnomalyLib.panel import dependencies
dependencies._there = lambda requirement: not requirement.startswith(("nibabel", "connected"))
import numpy as np
slicer.util.addVolumeFromArray(np.random.default_rng(0).random((60, 60, 60)) * 100, ijkToRAS=np.diag([3.0, 3, 3, 1]), name="FLAIR")
panel = BrainSSLAnomaly.BrainSSLAnomalyWidget()
assert panel.ui.detectButton.enabled, panel.ui.scansMessage.text
said = panel.ui.statusMessage.text
assert "nibabel" in said and "connected-components-3d" in said, said
slicer.util.confirmOkCancelDisplay = lambda text: False
panel.onDetect()
assert not panel.run.running
panel.onSample()
assert "nibabel is missing" in panel.ui.statusMessage.text, panel.ui.statusMessage.text
print("opened")
import os
sys.stdout.flush()
os._exit(0)
"""
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (here, here.parents[1] / "BrainSSLAnomaly")))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("opened"), done.stderr[-1500:]


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher of this test is a shell script")
def test_the_worker_runs_behind_slicers_launcher_and_cancel_reaches_it(loaded, tmp_path, monkeypatch):
    import psutil
    from BrainSSLAnomalyLib import panel as rooms

    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\ntrue\n')  # does not hand on signals, as Slicer's
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
