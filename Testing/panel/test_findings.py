"""Findings follow the sliders, are reviewed, edited and saved, and come back with the scene."""

from __future__ import annotations

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.settings import SegmentationSettings
from support.slicer.driving import click, picture, rest, settle
from support.slicer.optional import needed
from support.slicer.scene_contents import load

needed("slicer")
needed("PySide6.QtWidgets")


def voxels(results) -> int:
    import slicer

    node = results.segmentation
    ids = node.GetSegmentation().GetSegmentIDs()
    return sum(
        int(slicer.util.arrayFromSegmentBinaryLabelmap(node, i, results.reference).sum())
        for i in ids
    )


def test_the_display_follows_a_slider_at_once_and_the_mask_when_it_rests(detected):
    panel, results = detected
    display = results.layers["score"].GetDisplayNode()
    before = voxels(results)
    panel.ui.lowSlider.value = 0.6
    assert display.GetLowerThreshold() == pytest.approx(0.6) and voxels(results) == before
    rest(panel)
    after = voxels(results)
    assert 0 < after < before
    assert panel.parameterNode.low == pytest.approx(0.6)
    click(panel.ui.resetButton)
    assert voxels(results) == before and panel.ui.lowSlider.value == pytest.approx(0.2)


@pytest.mark.parametrize(
    "name", ["openingMm", "closingMm", "dilationMm", "erosionMm", "minVolumeMl"]
)
def test_every_clean_up_slider_changes_the_mask_as_the_command_line_would(detected, name):
    from BrainSSLAnomalyLib.segmentation import segment

    panel, results = detected
    getattr(panel.ui, f"{name}Slider").value = {"minVolumeMl": 1.0}.get(name, 4.0)
    rest(panel)
    settings = panel.tuning.settings()
    assert settings != SegmentationSettings()
    assert voxels(results) == segment(panel.session.detection, settings).mask.sum()


@pytest.mark.parametrize("method", ["fixed", "percentile", "robust-z", "otsu", "hysteresis"])
def test_every_method_shows_its_sliders_and_makes_its_mask(detected, method):
    from BrainSSLAnomalyLib.segmentation import segment

    panel, results = detected
    panel.ui.methodSelector.setCurrentText(method)
    rest(panel)
    shown = {
        n
        for n in ("threshold", "low", "percentile", "zscore")
        if not getattr(panel.ui, f"{n}Slider").isHidden()
    }
    wanted = {
        "fixed": {"threshold"},
        "percentile": {"percentile"},
        "robust-z": {"zscore"},
        "hysteresis": {"threshold", "low"},
    }
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
    settle()
    QTest.keyClick(table, QtCore.Qt.Key.Key_R)
    settle()
    assert panel.session.rejected == {1}
    panel.findings.accept()


def test_the_table_is_copied_and_saved(detected, tmp_path, monkeypatch):
    import qt

    panel, _ = detected
    click(panel.ui.copyButton)
    assert qt.QApplication.clipboard().text().startswith("number,volume_ml")
    monkeypatch.setattr(
        qt.QFileDialog, "getSaveFileName", staticmethod(lambda *a: str(tmp_path / "f.csv"))
    )
    click(panel.ui.csvButton)
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 1 + len(panel.session.findings)


def test_the_table_of_the_panel_is_that_of_the_command_line_but_for_what_was_rejected(
    detected, tmp_path, monkeypatch
):
    import csv
    import io

    import qt
    from BrainSSLAnomalyLib.report import write_report
    from BrainSSLAnomalyLib.segmentation import segment

    panel, _ = detected
    settings, detection = panel.tuning.settings(), panel.session.detection
    write_report(
        tmp_path, detection, segment(detection, settings), settings
    )  # as `segment` and `detect` of the command line
    assert panel.findings.text() == (tmp_path / "findings.csv").read_text()
    panel.ui.findingsTable.selectRow(1)
    click(panel.ui.rejectButton)
    rows = list(csv.DictReader(io.StringIO(panel.findings.text())))
    assert [r["review"] for r in rows[:3]] == ["accepted", "rejected", "accepted"]
    monkeypatch.setattr(
        qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(tmp_path / "saved"))
    )
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", staticmethod(lambda url: True))
    click(panel.ui.reportButton)
    assert (
        tmp_path / "saved" / "Patient FLAIR_anomalies" / "findings.csv"
    ).read_text() == panel.findings.text()


def test_one_segment_a_finding_and_the_surface_on_demand(detected):
    panel, results = detected
    panel.ui.oneEachCheckBox.checked = True
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == len(
        panel.session.findings
    )
    panel.ui.surfaceCheckBox.checked = True
    assert results.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    panel.ui.thresholdSlider.value = 0.9
    rest(panel)
    assert results.segmentation.GetSegmentation().ContainsRepresentation("Closed surface")


@pytest.mark.parametrize("keep", [True, False])
def test_an_edited_mask_is_never_overwritten_without_asking(detected, keep, monkeypatch):
    import slicer

    panel, results = detected
    node = results.segmentation
    edit = np.zeros(panel.session.detection.brain_mask.shape, np.uint8)
    edit[20:23, 20:23, 20:23] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        edit, node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmYesNoDisplay", lambda text, *a, **k: questions.append(text) or keep
    )
    for low in (0.5, 0.6):
        panel.ui.lowSlider.value = low
        rest(panel)
    assert len(questions) == 1 and "edited by hand" in questions[0]
    left = slicer.util.arrayFromSegmentBinaryLabelmap(
        node, node.GetSegmentation().GetNthSegmentID(0), results.reference
    )
    assert left.sum() == 27 and (results.segmentation is node) is not keep


def test_the_segment_editor_is_opened_with_segmentation_and_scan(detected, monkeypatch):
    import types

    import slicer

    panel, results = detected
    opened, editor = [], slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    widget = types.SimpleNamespace(self=lambda: types.SimpleNamespace(parameterSetNode=editor))
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    monkeypatch.setattr(
        slicer.modules,
        "segmenteditor",
        types.SimpleNamespace(widgetRepresentation=lambda: widget),
        raising=False,
    )
    click(panel.ui.editButton)
    assert opened == ["SegmentEditor"]
    assert (
        editor.GetSegmentationNode() is results.segmentation
        and editor.GetSourceVolumeNode() is results.reference
    )


def test_mask_and_report_are_saved(detected, tmp_path, monkeypatch):
    import qt

    panel, _ = detected
    opened = []
    monkeypatch.setattr(
        qt.QFileDialog, "getSaveFileName", staticmethod(lambda *a: str(tmp_path / "mask.nii.gz"))
    )
    monkeypatch.setattr(
        qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *a: str(tmp_path))
    )
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", staticmethod(opened.append))
    click(panel.ui.saveMaskButton)
    click(panel.ui.reportButton)
    assert (
        (tmp_path / "mask.nii.gz").is_file()
        and (tmp_path / "Patient FLAIR_anomalies" / "report.html").is_file()
        and opened
    )


def test_sliders_findings_and_layers_come_back_with_a_loaded_scene(detected, scene, tmp_path):
    panel, results = detected
    panel.ui.thresholdSlider.value = 0.8
    rest(panel)
    panel.ui.findingsTable.selectRow(0)
    click(panel.ui.rejectButton)
    count = voxels(results)
    assert scene.WriteToMRB(str(tmp_path / "s.mrb"))
    scene.Clear(False)
    settle()
    assert panel.session is None and panel.ui.findingsTable.rowCount == 0
    load(scene, tmp_path / "s.mrb")
    panel.onSceneReady()
    rest(panel)
    assert panel.ui.thresholdSlider.value == pytest.approx(0.8) and panel.session.rejected == {1}
    assert voxels(panel.session.results) == count and panel.scans.chosen()


def test_results_deleted_by_hand_leave_the_panel_without_an_error(detected, scene):
    panel, results = detected
    scene.RemoveNode(results.layers["score"])
    panel.ui.thresholdSlider.value = 0.5
    rest(panel)
    assert panel.session is None and panel.ui.findingsTable.rowCount == 0
