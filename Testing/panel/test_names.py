"""Every name that the panel uses on a widget exists in Slicer.

``slicer_api.json`` lists what PythonQt shows of CTK and qMRML classes; Qt itself lists the rest.
"""

from __future__ import annotations

import ast
import json
import re
import xml.etree.ElementTree as ElementTree
from functools import cache

from support.project import PROJECT
from support.slicer.optional import needed

needed("PySide6.QtWidgets")

MODULE = PROJECT / "BrainSSLAnomaly"
UI = ElementTree.parse(MODULE / "Resources" / "UI" / "BrainSSLAnomaly.ui").getroot()
API = json.loads((PROJECT / "Testing/support/slicer/slicer_api.json").read_text())
SOURCES = [
    MODULE / "BrainSSLAnomaly.py",
    *sorted((MODULE / "BrainSSLAnomalyLib" / "panel").glob("*.py")),
]
WIDGETS = {w.get("name"): w.get("class") for w in UI.iter("widget")}
PYTHONQT = {"connect", "disconnect", "name", "className", "delete"}


def qt_class(name):
    from PySide6 import QtCore, QtGui, QtWidgets

    return next(getattr(m, name) for m in (QtWidgets, QtGui, QtCore) if hasattr(m, name))


def lineage(name):
    """What is known of a CTK or qMRML class and its bases, and the Qt class below them."""
    found = []
    while name in API:
        found.append(API[name])
        name = API[name]["base"]
    return found, qt_class(name)


@cache
def properties(name):
    facts, base = lineage(name)
    meta = base.staticMetaObject
    return {p for f in facts for p in f["properties"]} | {
        meta.property(i).name() for i in range(meta.propertyCount())
    }


for kind in set(WIDGETS.values()):
    properties(
        kind
    )  # now, before the panel's tests run: PySide may let go of meta objects afterwards


def methods(name):
    facts, base = lineage(name)
    return {m for f in facts for kind in ("slots", "invokables") for m in f[kind]} | {
        m for m in dir(base) if not m.startswith("__")
    }


def has_signal(name, signature):
    facts, base = lineage(name)
    if any(signature.split("(")[0] in f["signals"] for f in facts):
        return True
    # Not by its meta object: PySide may have let go of it once the panel's tests have run.
    return type(getattr(base, signature.split("(")[0], None)).__name__ == "Signal"


def uses():
    """(file, line, widget, attribute) of every use of a widget of the .ui file in the sources."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Attribute):
                continue
            owner = node.value.value
            if ast.unparse(owner) in {"ui", "self.ui", "self._ui"}:
                yield path.name, node.lineno, node.value.attr, node.attr


def connections():
    """(file, line, widget, signal) of ``ui.widget.connect("signal", ...)``."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "connect"
            ):
                owner = ast.unparse(node.func.value)
                match = re.fullmatch(r"(?:self\._?)?ui\.(\w+)", owner)
                yield path.name, node.lineno, match.group(1) if match else owner, node.args[0].value


def test_every_property_in_the_ui_file_exists():
    for widget in UI.iter("widget"):
        for prop in widget.findall("property"):
            if (
                prop.get("stdset") != "0" and prop.get("name") != "buddy"
            ):  # a label's buddy is Designer's own
                assert prop.get("name") in properties(widget.get("class")), (
                    widget.get("name"),
                    prop.get("name"),
                )


def test_every_class_that_is_not_plain_qt_is_declared_in_the_ui_file():
    declared = {c.findtext("class"): c.findtext("extends") for c in UI.iter("customwidget")}
    assert set(declared) == {c for c in WIDGETS.values() if c in API}
    assert UI.find("widget").get("class") == "qMRMLWidget"


def test_every_scene_aware_widget_gets_the_scene_from_the_ui_file():
    wired = {
        c.findtext("receiver")
        for c in UI.iter("connection")
        if c.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    assert wired == {name for name, cls in WIDGETS.items() if cls == "qMRMLNodeComboBox"}
    assert (
        "mrmlSceneChanged" in API["qMRMLWidget"]["signals"]
        and "setMRMLScene" in API["qMRMLNodeComboBox"]["slots"]
    )


def test_every_widget_and_attribute_that_the_sources_use_exists():
    used = set()
    for file, line, widget, attribute in uses():
        assert widget in WIDGETS, (file, line, widget)
        used.add(widget)
        assert attribute in properties(WIDGETS[widget]) | methods(WIDGETS[widget]) | PYTHONQT, (
            file,
            line,
            widget,
            attribute,
        )
    assert len(used) > 20


def test_properties_are_never_called_and_methods_never_assigned():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                match = re.fullmatch(r"(?:self\._?)?ui\.(\w+)\.(\w+)", ast.unparse(node.func))
                if match and match.group(1) in WIDGETS:
                    assert match.group(2) not in properties(WIDGETS[match.group(1)]), (
                        path.name,
                        node.lineno,
                    )
            for target in node.targets if isinstance(node, ast.Assign) else []:
                match = re.fullmatch(r"(?:self\._?)?ui\.(\w+)\.(\w+)", ast.unparse(target))
                if match:
                    assert match.group(2) in properties(WIDGETS[match.group(1)]), (
                        path.name,
                        node.lineno,
                    )


def test_every_signal_that_the_sources_connect_exists():
    owners = {
        "self._timer": "QTimer",
        "shortcut": "QShortcut",
        "self.action": "QAction",
        "slicer.app": "qSlicerApplication",
        "selector": "qMRMLNodeComboBox",
        "self._slider(name)": "ctkSliderWidget",
    }
    count = 0
    for file, line, widget, signal in connections():
        cls = WIDGETS.get(widget) or owners[widget]
        assert has_signal(cls, signal), (file, line, widget, signal)
        count += 1
    assert count > 25


def test_nothing_heavy_is_imported_with_the_module_file():
    allowed = {
        "logging",
        "sys",
        "time",
        "typing",
        "slicer",
        "qt",
        "ctk",
        "vtk",
        "numpy",
        "BrainSSLAnomalyLib",
    }
    for node in ast.parse(SOURCES[0].read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
            assert {n.split(".")[0] for n in names} <= allowed
            ours = {n.split(".", 1)[1] for n in names if n.startswith("BrainSSL")}
            light = {"core.errors", "core.settings", "core.study"}
            assert ours <= light | {"panel.detection", "panel.parameters"}


def test_the_module_file_has_no_arithmetic_and_no_more_than_450_lines():
    text = SOURCES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    sums = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.BinOp)]
    assert all(
        isinstance(n.op, ast.Add) and isinstance(n.right, (ast.Constant, ast.Call)) for n in sums
    )


def test_the_wheel_of_slicer_has_every_mrml_name_that_the_sources_use():
    slicer = needed("slicer")
    folders = (MODULE / "BrainSSLAnomalyLib" / "scene", MODULE / "BrainSSLAnomalyLib" / "panel")
    text = "\n".join(
        p.read_text(encoding="utf-8") for folder in folders for p in folder.glob("*.py")
    )
    used = set(re.findall(r"slicer\.(vtk\w+)", text))
    assert used and all(hasattr(slicer, name) for name in used)
    for name in set(re.findall(r"slicer\.util\.(\w+)", text)):
        assert hasattr(slicer.util, name), name
