"""The maps of a detection are shown over the scan as chosen, and a selected finding by a Grad-CAM of its own."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.study import Modality
from support.slicer.driving import click, picture, settle, until
from support.slicer.optional import needed

needed("slicer")
needed("PySide6.QtWidgets")


def test_layers_are_chosen_windowed_hidden_and_given_a_legend(detected):
    import slicer

    panel, results = detected
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    z = results.layers["zscore-FLAIR"]
    panel.ui.layerSelector.setCurrentText("z on FLAIR")
    panel.ui.secondLayerSelector.setCurrentText("anomaly score")
    assert (
        composite.GetForegroundVolumeID() == z.GetID()
        and composite.GetNthLayerVolumeID(3) == results.layers["score"].GetID()
    )
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


def test_every_map_of_the_network_is_offered_in_its_own_window_and_only_where_it_exists(
    detected, small_detection
):
    import slicer
    from BrainSSLAnomalyLib.scene import Results
    from support.detections import as_by_network

    panel, results = detected
    offered = lambda: [
        panel.ui.layerSelector.itemText(n) for n in range(panel.ui.layerSelector.count)
    ]
    assert offered() == ["None", "anomaly score", "z on FLAIR"] and not panel.ui.flipButton.enabled
    panel.layers.listResults(
        Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference})
    )
    maps = [
        "reconstruction",
        "reconstruction error",
        "feature distance",
        "uncertainty",
        "Grad-CAM of all findings",
    ]
    assert offered()[3:] == maps
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    for title, top in zip(maps[1:], (4.0, 1.5, 3.0, 1.0), strict=True):
        panel.ui.layerSelector.setCurrentText(title)
        assert (
            composite.GetForegroundVolumeID()
            == slicer.util.getNode(f"Patient FLAIR {title}").GetID()
        )
        assert panel.ui.windowRange.maximumValue == pytest.approx(top)
    panel.ui.layerSelector.setCurrentText("reconstruction")
    display = results.reference.GetDisplayNode()
    assert panel.ui.windowRange.maximumValue == pytest.approx(display.GetWindowLevelMax(), abs=0.01)
    panel.layers.listResults(Results.write(small_detection, {Modality.FLAIR: results.reference}))
    assert offered() == ["None", "anomaly score", "z on FLAIR"]


def test_a_key_and_a_button_flip_between_scan_and_reconstruction_in_the_same_window(
    detected, small_detection
):
    import slicer
    from BrainSSLAnomalyLib.scene import Results
    from PySide6 import QtCore
    from PySide6.QtTest import QTest
    from support.detections import as_by_network

    panel, results = detected
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.layers.listResults(
        Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference})
    )
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
    from support.detections import as_by_network

    panel, results = detected
    panel.layers.listResults(
        Results.write(as_by_network(small_detection), {Modality.FLAIR: results.reference})
    )
    panel.onSettingsSettled()
    settle()
    return panel, results


class Answer:
    """Stands in for the job that explains a finding."""

    def __init__(self, asked, sentence="") -> None:
        from BrainSSLAnomalyLib.jobs import JobFailed, JobState, Status

        self.asked, self.closed, self.state = asked, False, JobState()
        self._done = JobState(Status.FAILED if sentence else Status.DONE, sentence=sentence)
        self._error = (
            JobFailed(sentence.rstrip("."), "choose the finding again") if sentence else None
        )

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

    def start(network_input, brain, finding, *options):
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
    assert (
        len(questions) == 2
        and questions[0].closed
        and "finding 2 ..." in panel.ui.explainMessage.text
    )
    assert all(np.array_equal(q.asked, labels == n) for n, q in enumerate(questions, start=1))
    questions[0].end()
    settle(0.3)
    assert "finding" not in results.layers
    questions[1].end()
    until(lambda: not panel.explaining.running, 5)
    assert composite.GetForegroundVolumeID() == results.layers["finding"].GetID()
    assert (
        panel.ui.layerSelector.currentText == "Grad-CAM of finding 2"
        and "finding 2 alone" in panel.ui.explainMessage.text
    )
    assert (slicer.util.arrayFromVolume(results.layers["finding"]) > 0).sum() == (labels == 2).sum()
    picture(panel, "10_finding_explained")
    panel.ui.lowSlider.value = 0.6
    settle(0.2)
    offered = [panel.ui.layerSelector.itemText(n) for n in range(panel.ui.layerSelector.count)]
    assert (
        "Grad-CAM of finding 2" not in offered
        and panel.ui.layerSelector.currentText == "anomaly score"
    )
    assert (
        composite.GetForegroundVolumeID() == results.layers["score"].GetID()
        and panel.ui.explainMessage.text == ""
    )


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
    assert (
        not questions and "of all findings, not of finding 1 alone" in panel.ui.explainMessage.text
    )
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
    assert (
        questions[0].closed
        and not panel.explaining.running
        and not panel.ui.explainCheckBox.enabled
    )


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
    assert {
        "reconstruction",
        "reconstruction_error",
        "latent_distance",
        "uncertainty",
        "gradcam",
    } <= set(results.layers)
    assert (
        results.explainable and panel.ui.flipButton.enabled and panel.ui.findingsTable.rowCount > 0
    )
    panel.ui.findingsTable.selectRow(0)
    until(lambda: not panel.explaining.running)
    assert panel.ui.layerSelector.currentText == "Grad-CAM of finding 1", (
        panel.ui.explainMessage.text
    )
