"""The panel opens, registers menu and sample data, checks the setup, is scripted and reloaded."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import pytest
from BrainSSLAnomalyLib.core.study import Modality
from support.detections import QUICK
from support.slicer.driving import click, picture, until
from support.slicer.fresh_process import run_fresh
from support.slicer.optional import needed
from support.slicer.scene_contents import add_scan, hierarchy

needed("slicer")
needed("PySide6.QtWidgets")

BASE = "AbstractScriptedSubjectHierarchyPlugin"
MENU = "BrainSSLAnomalySubjectHierarchyPlugin"


def test_an_exception_in_a_slot_or_an_observer_fails_a_test(module, scene, raised):
    import qt

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    tag = scene.AddObserver(scene.NodeAddedEvent, lambda *_: [][1])
    button.click()
    scene.AddNewNodeByClass("vtkMRMLTextNode")
    assert [type(e) for e in raised] == [ZeroDivisionError, IndexError]
    scene.RemoveObserver(tag)


def test_the_panel_opens_without_torch(panel, raised):
    assert not panel.ui.detectButton.enabled and not panel.ui.editButton.enabled
    picture(panel, "1_empty")
    code = """
import sys
from support.slicer import slicer_python
slicer_python.start()
import BrainSSLAnomaly
BrainSSLAnomaly.BrainSSLAnomalyWidget()
heavy = {"torch", "monai", "skimage", "matplotlib", "nibabel"} & set(sys.modules)
print("heavy:", sorted(heavy))
sys.stdout.flush()
import os
os._exit(0)
"""
    done = run_fresh(code)
    assert done.stdout.strip().endswith("heavy: []"), done.stdout + done.stderr[-1500:]


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


def test_the_setup_check_names_versions_and_finds_the_synthetic_lesions(panel):
    click(panel.ui.setupCheckButton)
    assert (
        "BrainSSLAnomaly" in panel.ui.logText.toPlainText()
        and "numpy" in panel.ui.logText.toPlainText()
    )
    until(lambda: not panel.detection.is_running)
    assert (
        panel.ui.statusMessage.text == "Setup check passed."
        and "findings in a synthetic patient" in panel.ui.logText.toPlainText()
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
        FLAIR=slicer.util.getNode("FLAIR"),
        settings=QUICK,
        progress=lambda stage, fraction: stages.append(stage),
    )
    segmentation = logic.segment(results)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1 and len(set(stages)) > 3
    assert logic.session(results).findings


def test_the_self_test_that_runs_within_slicer_passes_here(module, scene):
    test = module.BrainSSLAnomalyTest()
    test.setUp()
    test.test_refusalLeavesTheScene()


@pytest.fixture
def menu(module, monkeypatch):
    """The plugin of the right-click menu, as `setup` of the module registers it.

    Slicer's base class of such plugins cannot be imported before that.
    """
    import slicer

    handler = slicer.qSlicerSubjectHierarchyPluginHandler
    monkeypatch.setattr(handler, "_instance", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("SubjectHierarchyPlugins", BASE, MENU):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(BASE)
    parent = types.SimpleNamespace(path=module.__file__, icon=None)
    module.BrainSSLAnomaly(parent).setup()
    plugin = handler.instance().pluginByName("BrainSSLAnomaly")
    assert plugin is not None, "the plugin is not registered"
    return plugin.self()


def test_setup_registers_one_plugin_of_slicers_base_class(menu):
    import slicer

    base = sys.modules[BASE].AbstractScriptedSubjectHierarchyPlugin
    assert isinstance(menu, base) and type(menu).__name__ == MENU
    assert Path(menu.filePath).is_file() and Path(menu.filePath).stem == MENU
    plugins = slicer.qSlicerSubjectHierarchyPluginHandler.instance().plugins
    assert [plugin.self() for plugin in plugins] == [menu]


def test_the_right_click_menu_offers_detection_on_scans_alone_and_starts_it(
    panel, menu, small_patient, monkeypatch
):
    import slicer

    scan = add_scan(small_patient.scans[Modality.FLAIR].volume, "some FLAIR")
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "mask")
    tree = hierarchy()
    item = tree.GetItemByDataNode(scan)
    menu.showContextMenuActionsForItem(item)
    assert menu.itemContextMenuActions() == [menu.action] and menu.action.visible
    for other in (tree.GetSceneItemID(), tree.CreateItem(tree.GetSceneItemID(), mask)):
        menu.showContextMenuActionsForItem(other)
        assert not menu.action.visible
    opened, started = [], []
    slicer.qSlicerSubjectHierarchyPluginHandler.instance().setCurrentItem(item)
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    representation = types.SimpleNamespace(self=lambda: panel)
    monkeypatch.setattr(
        slicer.modules.brainsslanomaly,
        "widgetRepresentation",
        lambda: representation,
        raising=False,
    )
    monkeypatch.setattr(panel, "onDetect", lambda: started.append(panel.scans.chosen()))
    menu.action.trigger()
    assert opened == ["BrainSSLAnomaly"] and started == [{Modality.FLAIR: scan}]


def test_the_module_registers_sample_data_when_slicer_has_started(module, scene, monkeypatch):
    import slicer
    from BrainSSLAnomalyLib.panel import sampledata

    real = sampledata.load
    monkeypatch.setattr(sampledata, "load", lambda: real(4.0))
    registered = []
    sample = types.ModuleType("SampleData")
    sample.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **options: registered.append(options)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample)
    parent = types.SimpleNamespace(path=module.__file__, icon=None)
    module.BrainSSLAnomaly(parent)
    assert not registered
    slicer.app.connected["startupCompleted()"]()
    assert Path(registered[0]["thumbnailFileName"]).is_file()
    nodes = registered[0]["customDownloader"](None)
    names = [node.GetName() for node in nodes]
    assert names[0] == "Synthetic FLAIR"
    assert set(names[1:]) == {"Synthetic T1", "Synthetic T2"}
    for text in ("title", "helpText", "acknowledgementText", "contributors", "categories"):
        assert getattr(parent, text), text


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
