"""Maps are shown over the scan as chosen, and a selected finding by a Grad-CAM of its own."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.study import Modality
from support.slicer.driving import click, picture, rest, settle, until
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

    def offered():
        selector = panel.ui.layerSelector
        return [selector.itemText(n) for n in range(selector.count)]

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
    settle()
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
def by_network(detected, small_detection):
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


class Explanation:
    """Stands in for the job that explains a finding, the target."""

    def __init__(self, target, sentence="") -> None:
        from BrainSSLAnomalyLib.jobs import JobFailed, JobState, Status

        self.target, self.is_closed, self.polls, self.state = target, False, 0, JobState()
        self._done = JobState(Status.FAILED if sentence else Status.DONE, sentence=sentence)
        self._error = (
            JobFailed(sentence.rstrip("."), "choose the finding again") if sentence else None
        )

    def poll(self):
        self.polls += 1
        return self.state

    def end(self) -> None:
        self.state = self._done

    def result(self):
        if self._error:
            raise self._error
        return self.target.astype(np.float32)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def requests(monkeypatch):
    """Every explanation that is started; `requests.sentence` makes the next ones fail."""
    from BrainSSLAnomalyLib import jobs

    class Requests(list):
        sentence = ""

    started = Requests()

    def start(request, *options):
        assert request.network_input.images and request.brain.array.any()
        started.append(Explanation(request.target, started.sentence))
        return started[-1]

    monkeypatch.setattr(jobs, "start_explanation", start)
    return started


def test_selecting_a_finding_shows_its_own_grad_cam_and_the_last_selection_counts(
    by_network, requests
):
    import slicer

    panel, results = by_network
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    labels = panel.session.segmentation.labels
    for row in (0, 1):
        panel.ui.findingsTable.selectRow(row)
        settle()
    assert (
        len(requests) == 2
        and requests[0].is_closed
        and "finding 2 ..." in panel.ui.explainMessage.text
    )
    assert all(np.array_equal(r.target, labels == n) for n, r in enumerate(requests, start=1))
    polls = requests[0].polls
    requests[0].end()
    until(lambda: requests[1].polls > 1)
    assert "finding" not in results.layers and requests[0].polls == polls
    requests[1].end()
    until(lambda: not panel.explanation.is_running)
    assert composite.GetForegroundVolumeID() == results.layers["finding"].GetID()
    assert (
        panel.ui.layerSelector.currentText == "Grad-CAM of finding 2"
        and "finding 2 alone" in panel.ui.explainMessage.text
    )
    assert (slicer.util.arrayFromVolume(results.layers["finding"]) > 0).sum() == (labels == 2).sum()
    picture(panel, "10_finding_explained")
    panel.ui.lowSlider.value = 0.6
    rest(panel)
    offered = [panel.ui.layerSelector.itemText(n) for n in range(panel.ui.layerSelector.count)]
    assert (
        "Grad-CAM of finding 2" not in offered
        and panel.ui.layerSelector.currentText == "anomaly score"
    )
    assert (
        composite.GetForegroundVolumeID() == results.layers["score"].GetID()
        and panel.ui.explainMessage.text == ""
    )


def test_an_explanation_is_stopped_when_findings_change_and_its_failure_is_explained(
    by_network, requests
):
    panel, results = by_network
    panel.ui.findingsTable.selectRow(0)
    settle()
    panel.ui.lowSlider.value = 0.6
    rest(panel)
    assert requests[0].is_closed and not panel.explanation.is_running
    requests.sentence = "There was not enough memory: close other programs."
    panel.ui.findingsTable.selectRow(1)
    settle()
    requests[1].end()
    until(lambda: not panel.explanation.is_running)
    assert "not enough memory" in panel.ui.explainMessage.text and "finding" not in results.layers
    panel.ui.explainCheckBox.checked = False
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert len(requests) == 2 and panel.ui.explainMessage.text == ""


def test_without_network_input_the_message_says_that_all_findings_are_explained(
    by_network, requests
):
    import slicer

    panel, _ = by_network
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Patient FLAIR network input FLAIR"))
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert (
        not requests and "of all findings, not of finding 1 alone" in panel.ui.explainMessage.text
    )
    assert panel.ui.layerSelector.currentText == "Grad-CAM of all findings"


def test_the_statistics_explain_no_finding(detected, requests):
    panel, _ = detected
    panel.ui.findingsTable.selectRow(0)
    settle()
    assert not panel.ui.explainCheckBox.enabled and not requests


def test_closing_the_scene_ends_an_explanation(by_network, requests, scene):
    panel, _ = by_network
    panel.ui.findingsTable.selectRow(0)
    settle()
    scene.Clear(False)
    settle()
    assert (
        requests[0].is_closed
        and not panel.explanation.is_running
        and not panel.ui.explainCheckBox.enabled
    )


def test_a_detection_by_the_network_brings_its_layers_and_explains_a_finding(loaded):
    from BrainSSLAnomalyLib.scene import Results

    panel, _ = loaded
    panel.ui.detectorSelector.setCurrentText("Network (hybrid)")
    panel.ui.deviceSelector.setCurrentText("cpu")
    click(panel.ui.detectButton)
    until(lambda: not panel.detection.is_running)
    (results,) = Results.all_in_scene()
    assert panel.session.detection.detector == "hybrid", panel.ui.statusMessage.text
    assert {
        "reconstruction",
        "reconstruction_error",
        "latent_distance",
        "gradcam",
    } <= set(results.layers)
    assert "uncertainty" not in results.layers, "of one orientation, on slices of 4 mm"
    assert (
        results.has_network_input
        and panel.ui.flipButton.enabled
        and panel.ui.findingsTable.rowCount > 0
    )
    panel.ui.findingsTable.selectRow(0)
    until(lambda: not panel.explanation.is_running)
    assert panel.ui.layerSelector.currentText == "Grad-CAM of finding 1", (
        panel.ui.explainMessage.text
    )
    assert "finding 1 alone" in panel.ui.explainMessage.text
