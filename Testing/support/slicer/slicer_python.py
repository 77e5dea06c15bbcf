"""Slicer's Python layer for the panel.

Stand-ins of our own, or the real one where ``SLICER_SOURCE`` names a checkout of Slicer.
"""

from __future__ import annotations

import os
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any

from support.project import PROJECT
from support.slicer import (
    mrml_core,
    pythonqt,
    slicer_packaging,
    subject_hierarchy,
    widgets,
)

MODULE = PROJECT / "BrainSSLAnomaly" / "BrainSSLAnomaly.py"
SOURCE = os.environ.get("SLICER_SOURCE", "")
SCRIPTED_MODULES = (
    Path(SOURCE) / "Modules" / "Loadable" / "SubjectHierarchy" / "Widgets" / "Python"
    if SOURCE
    else Path(__file__).with_name("python")
)
"""What Slicer has on its path for scripted modules."""


class App:
    """Stands in for ``qSlicerApplication``: only what the panel and Slicer's Python layer use."""

    applicationName = "Slicer"

    def __init__(self) -> None:
        self.connected: dict[str, Any] = {}

    def connect(self, signal: str, slot: Any) -> None:
        self.connected[signal] = slot

    def disconnect(self, signal: str, slot: Any) -> None:
        self.connected.pop(signal, None)

    def moduleManager(self) -> App:
        return self

    def processEvents(self) -> None:
        sys.modules["qt"].application.processEvents()

    def testingEnabled(self) -> bool:
        return True

    def thread(self) -> Any:
        return sys.modules["qt"].QThread.currentThread()

    def translate(self, context: str, text: str) -> str:
        return text

    def pauseRender(self) -> None: ...

    def resumeRender(self) -> None: ...

    def layoutManager(self) -> None: ...


class Choice:
    """One of several values."""

    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices


class WithinRange:
    """A number between two others, both included."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum


def parameterNodeWrapper(cls: type) -> type:
    """Return the class with members that live in a parameter node and can be bound to widgets."""
    hints = typing.get_type_hints(cls, include_extras=True)
    defaults = {name: cls.__dict__.get(name) for name in hints}

    def member(name: str) -> property:
        def read(self: Any) -> Any:
            kind, _ = _kind(hints[name])
            if kind.__name__.startswith("vtkMRML"):
                return self.parameterNode.GetNodeReference(name)
            text = self.parameterNode.GetParameter(name)
            return text == "True" if kind is bool else kind(text)

        def write(self: Any, value: Any) -> None:
            kind, note = _kind(hints[name])
            if kind.__name__.startswith("vtkMRML"):
                self.parameterNode.SetNodeReferenceID(
                    name, value.GetID() if value is not None else None
                )
                return
            if isinstance(note, Choice) and value not in note.choices:
                raise ValueError(f"{value!r} is not one of {note.choices}")
            if isinstance(note, WithinRange) and not note.minimum <= value <= note.maximum:
                raise ValueError(f"{value!r} is out of range")
            self.parameterNode.SetParameter(name, str(value))

        return property(read, write)

    def init(self: Any, node: Any) -> None:
        self.parameterNode, self._guis = node, {}
        for name, default in defaults.items():
            if default is not None and not node.GetParameter(name):
                setattr(self, name, default)

    cls.__init__ = init  # type: ignore[misc]
    cls.connectGui, cls.disconnectGui = _connect_gui, _disconnect_gui  # type: ignore[attr-defined]
    cls.hints = hints  # type: ignore[attr-defined]
    for name in hints:
        setattr(cls, name, member(name))
    return cls


def _kind(hint: Any) -> tuple[type, Any]:
    if typing.get_origin(hint) is Annotated:
        return typing.get_args(hint)[:2]
    return hint, None


_BOUND = {
    "ctkSliderWidget": ("value", "valueChanged(double)"),
    "QCheckBox": ("checked", "toggled(bool)"),
    "QComboBox": ("currentIndex", "currentIndexChanged(int)"),
    "qMRMLNodeComboBox": (None, "currentNodeChanged(vtkMRMLNode*)"),
}


def _connect_gui(self: Any, ui: Any) -> int:
    tag = len(self._guis) + 1
    pairs = [(w, w.property("SlicerParameterName")) for w in vars(ui).values()]
    pairs = [(w, name) for w, name in pairs if name]
    self._guis[tag] = True
    for widget, name in pairs:
        _, note = _kind(self.hints[name])
        attribute, signal = _BOUND[type(widget).__name__]
        if isinstance(note, WithinRange):
            widget.minimum, widget.maximum = note.minimum, note.maximum
        if isinstance(note, Choice):
            kept = getattr(self, name)
            widget.clear()
            for choice in note.choices:
                widget.addItem(choice)
            widget.currentIndex = note.choices.index(kept)
        elif attribute is None:
            widget.setCurrentNode(getattr(self, name))
        else:
            setattr(widget, attribute, getattr(self, name))

        def changed(
            *_: Any,
            widget: Any = widget,
            name: str = name,
            attribute: Any = attribute,
            note: Any = note,
        ) -> None:
            value = widget.currentNode() if attribute is None else getattr(widget, attribute)
            if isinstance(note, Choice):  # by its place, as Slicer does
                value = note.choices[value]
            if self._guis.get(tag):
                setattr(self, name, value)

        widget.connect(signal, changed)
    return tag


def _disconnect_gui(self: Any, tag: int) -> None:
    self._guis.pop(tag, None)


class ScriptedLoadableModule:
    """Stands in for Slicer's class of the same name, as do the three below."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent

    def resourcePath(self, name: str) -> str:
        return str(MODULE.parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        import slicer

        super().__init__()
        qt = sys.modules["qt"]
        self.parent = parent or slicer.qMRMLWidget()
        if parent is None:
            self.parent.setLayout(qt.QVBoxLayout())
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()

    def resourcePath(self, name: str) -> str:
        return str(MODULE.parent / "Resources" / name)

    def setup(self) -> None: ...

    def onReload(self) -> None: ...


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None: ...

    def getParameterNode(self) -> Any:
        import slicer

        name = type(self).__name__.removesuffix("Logic")
        node = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(name)
            node.SetAttribute("ModuleName", name)
            node = slicer.mrmlScene.AddNode(node)
        return node


def _scripted_test() -> type:
    import unittest

    return type("ScriptedLoadableModuleTest", (unittest.TestCase,), {})


def start() -> Any:
    """Return ``slicer`` with core, Qt and Python layer, ready to import the panel.

    Starts once a process.
    """
    slicer = mrml_core.start()
    if hasattr(slicer, "app") and isinstance(slicer.app, App):
        return slicer
    pythonqt.start()
    widgets.start(slicer)
    slicer.app = App()
    slicer.modules.brainsslanomaly = types.SimpleNamespace(path=str(MODULE), name="BrainSSLAnomaly")
    slicer.util.startupEnvironment = lambda: dict(os.environ)
    sys.path.append(str(SCRIPTED_MODULES))
    slicer.qSlicerSubjectHierarchyPluginHandler = subject_hierarchy.PluginHandler
    slicer.qSlicerSubjectHierarchyScriptedPlugin = subject_hierarchy.scripted_plugin_class(
        sys.modules["qt"]
    )
    if SOURCE:
        slicer.__path__.insert(0, str(Path(SOURCE) / "Base" / "Python" / "slicer"))
        return slicer
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text  # type: ignore[attr-defined]
    i18n.translate = lambda context, text: text  # type: ignore[attr-defined]
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        _scripted_test(),
    ):
        setattr(scripted, cls.__name__, cls)
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    for item in (Choice, WithinRange, parameterNodeWrapper):
        setattr(wrapper, item.__name__, item)
    sys.modules.update({m.__name__: m for m in (i18n, scripted, wrapper)})
    slicer.packaging = sys.modules["slicer.packaging"] = slicer_packaging
    return slicer
