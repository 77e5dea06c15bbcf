"""The panel opens, registers menu and sample data, checks itself, and is scripted, reloaded and left without losing what it shows."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from BrainSSLAnomalyLib.core.study import Modality
from support.slicer.driving import click, picture, until
from support.slicer.optional import needed
from support.slicer.scene_contents import add_scan, hierarchy

needed("slicer")
needed("PySide6.QtWidgets")


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


def test_the_synthetic_patient_is_loaded_and_guessed(panel, monkeypatch):
    from BrainSSLAnomalyLib.panel import sampledata

    real = sampledata.load
    monkeypatch.setattr(sampledata, "load", lambda: real(4.0))
    click(panel.ui.sampleButton)
    assert {m.value for m in panel.scans.chosen()} == {
        "FLAIR",
        "T1",
        "T2",
    } and panel.ui.detectButton.enabled
    assert "Synthetic FLAIR (FLAIR)" in panel.ui.scansMessage.text


def test_the_self_check_names_versions_and_finds_the_made_lesions(panel):
    click(panel.ui.selfCheckButton)
    assert (
        "BrainSSLAnomaly" in panel.ui.logText.toPlainText()
        and "numpy" in panel.ui.logText.toPlainText()
    )
    until(lambda: not panel.run.running)
    assert (
        panel.ui.statusMessage.text == "Self-check passed."
        and "findings in a made patient" in panel.ui.logText.toPlainText()
    )


def test_the_logic_is_scripted_as_documented(module, scene, small_patient):
    import slicer
    from BrainSSLAnomalyLib.core.errors import BrainSSLAnomalyError

    logic = module.BrainSSLAnomalyLogic()
    with pytest.raises(BrainSSLAnomalyError, match="no scan"):
        logic.detect()
    add_scan(small_patient.scans[Modality.FLAIR].volume, "FLAIR")
    stages = []
    results = logic.detect(
        FLAIR=slicer.util.getNode("FLAIR"), progress=lambda stage, fraction: stages.append(stage)
    )
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
    listed = re.findall(
        r"^  ((?:BrainSSLAnomaly|Resources)\S+)$",
        (module_folder / "CMakeLists.txt").read_text(),
        re.MULTILINE,
    )
    for name in listed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module_folder / name, tmp_path / name)
    code = (
        "import BrainSSLAnomalyLib.jobs.worker as w, BrainSSLAnomalyLib.detection.detect, BrainSSLAnomalyLib.phantom.patient as d; "
        "d.load_template(); print(w.__file__)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in out.stdout


def test_the_right_click_menu_offers_detection_on_scans_alone_and_starts_it(
    panel, small_patient, monkeypatch
):
    import types

    import qt
    import slicer

    base = types.ModuleType("AbstractScriptedSubjectHierarchyPlugin")
    base.AbstractScriptedSubjectHierarchyPlugin = type(
        "Base", (), {"__init__": lambda self, plugin: setattr(self, "plugin", plugin)}
    )
    monkeypatch.setitem(sys.modules, base.__name__, base)
    from BrainSSLAnomalyLib.panel import MENU_FILE
    from BrainSSLAnomalyLib.panel.BrainSSLAnomalySubjectHierarchyPlugin import (
        BrainSSLAnomalySubjectHierarchyPlugin,
    )

    assert (
        Path(MENU_FILE).is_file()
        and Path(MENU_FILE).stem == "BrainSSLAnomalySubjectHierarchyPlugin"
    )
    plugin = BrainSSLAnomalySubjectHierarchyPlugin(qt.QObject())
    scan = add_scan(small_patient.scans[Modality.FLAIR].volume, "some FLAIR")
    item = hierarchy().GetItemByDataNode(scan)
    plugin.showContextMenuActionsForItem(item)
    assert plugin.itemContextMenuActions() == [plugin.action] and plugin.action.visible
    plugin.showContextMenuActionsForItem(hierarchy().GetSceneItemID())
    assert not plugin.action.visible
    opened, started = [], []
    handler = types.SimpleNamespace(
        instance=lambda: types.SimpleNamespace(currentItem=lambda: item)
    )
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyPluginHandler", handler, raising=False)
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    representation = types.SimpleNamespace(self=lambda: panel)
    monkeypatch.setattr(
        slicer.modules.brainsslanomaly,
        "widgetRepresentation",
        lambda: representation,
        raising=False,
    )
    monkeypatch.setattr(panel, "onDetect", lambda: started.append(panel.scans.chosen()))
    plugin.onDetect()
    assert opened == ["BrainSSLAnomaly"] and started == [{Modality.FLAIR: scan}]


def test_the_module_registers_menu_and_sample_data(module, monkeypatch):
    import types

    import slicer

    sources, registered = [], []
    scripted = type(
        "Plugin",
        (),
        {
            "__init__": lambda self, parent: None,
            "setPythonSource": lambda self, path: sources.append(path),
        },
    )
    monkeypatch.setattr(slicer, "qSlicerSubjectHierarchyScriptedPlugin", scripted, raising=False)
    sample = types.ModuleType("SampleData")
    sample.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **facts: registered.append(facts)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample)
    parent = types.SimpleNamespace(path=module.__file__, icon=None)
    entry = module.BrainSSLAnomaly(parent)
    entry.setup()
    slicer.app.connected["startupCompleted()"]()
    assert sources and sources[0].endswith("BrainSSLAnomalySubjectHierarchyPlugin.py")
    assert registered[0]["customDownloader"] and Path(registered[0]["thumbnailFileName"]).is_file()
    assert (
        parent.title
        and parent.helpText
        and parent.acknowledgementText
        and parent.contributors
        and parent.categories
    )


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
    assert (
        panel.session.results == results and panel.ui.resultsSelector.currentText == "Patient FLAIR"
    )
