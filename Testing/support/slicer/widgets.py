"""Stand-ins for the CTK and qMRML widgets of the panel.

Only what PythonQt shows of the real ones is public.
"""

from __future__ import annotations

import sys
import types
from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot

from support.slicer import pythonqt


class ctkSliderWidget(QtWidgets.QWidget):
    """Slider and spin box, kept together; values are rounded to the decimals, as CTK does."""

    valueChanged = Signal(float)
    STEPS = 1000

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._bar, self._box = (
            QtWidgets.QSlider(Qt.Orientation.Horizontal, self),
            QtWidgets.QDoubleSpinBox(self),
        )
        layout.addWidget(self._bar, 1)
        layout.addWidget(self._box)
        self._bar.setRange(0, self.STEPS)
        self._box.setRange(0, 99)
        self._bar.valueChanged.connect(self._on_bar)
        self._box.valueChanged.connect(self._on_box)

    def _on_bar(self, step: int) -> None:
        low, high = self._range()
        self._box.setValue(low + (high - low) * step / self.STEPS)

    def _on_box(self, value: float) -> None:
        self._place()
        self.valueChanged.emit(value)

    def _range(self) -> tuple[float, float]:
        return self._box.property("minimum"), self._box.property("maximum")

    def _place(self) -> None:
        low, high = self._range()
        self._bar.blockSignals(True)
        self._bar.setValue(
            round((self._box.property("value") - low) / max(high - low, 1e-9) * self.STEPS)
        )
        self._bar.blockSignals(False)

    def _on_limits(self, name: str, value: float) -> None:
        self._box.setProperty(name, value)
        self._place()

    @Slot(float)
    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    value = Property(float, lambda s: s._box.property("value"), setValue)
    minimum = Property(float, lambda s: s._range()[0], lambda s, v: s._on_limits("minimum", v))
    maximum = Property(float, lambda s: s._range()[1], lambda s, v: s._on_limits("maximum", v))
    singleStep = Property(
        float, lambda s: s._box.property("singleStep"), lambda s, v: s._box.setSingleStep(v)
    )
    decimals = Property(
        int, lambda s: s._box.property("decimals"), lambda s, v: s._box.setDecimals(v)
    )
    suffix = Property(str, lambda s: s._box.property("suffix"), lambda s, v: s._box.setSuffix(v))
    pageStep = Property(
        float, lambda s: s.__dict__.get("_page", 1.0), lambda s, v: s.__dict__.update(_page=v)
    )


class ctkRangeWidget(QtWidgets.QWidget):
    """Two spin boxes in order."""

    valuesChanged = Signal(float, float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._boxes = [QtWidgets.QDoubleSpinBox(self) for _ in range(2)]
        for box in self._boxes:
            layout.addWidget(box)
            box.valueChanged.connect(self._tell)

    def _tell(self, *_: Any) -> None:
        self.valuesChanged.emit(*(b.property("value") for b in self._boxes))

    def _both(self, name: str, value: Any) -> None:
        for box in self._boxes:
            box.setProperty(name, value)

    @Slot(float, float)
    def setValues(self, low: float, high: float) -> None:
        for box, value in zip(self._boxes, (low, high), strict=True):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)
        self._tell()

    minimumValue = Property(
        float, lambda s: s._boxes[0].property("value"), lambda s, v: s._boxes[0].setValue(v)
    )
    maximumValue = Property(
        float, lambda s: s._boxes[1].property("value"), lambda s, v: s._boxes[1].setValue(v)
    )
    minimum = Property(
        float, lambda s: s._boxes[0].property("minimum"), lambda s, v: s._both("minimum", v)
    )
    maximum = Property(
        float, lambda s: s._boxes[0].property("maximum"), lambda s, v: s._both("maximum", v)
    )
    decimals = Property(
        int, lambda s: s._boxes[0].property("decimals"), lambda s, v: s._both("decimals", v)
    )
    singleStep = Property(
        float, lambda s: s._boxes[0].property("singleStep"), lambda s, v: s._both("singleStep", v)
    )


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A heading that hides what is below it."""

    HEIGHT = 24
    contentsCollapsed = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent if isinstance(parent, QtWidgets.QWidget) else None)
        self.setContentsMargins(0, self.HEIGHT, 0, 0)
        self._closed = False
        self.clicked.connect(lambda *_: self._close(not self._closed))

    def _close(self, closed: bool) -> None:
        self._closed = closed
        for child in QtCore.QObject.children(self):
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not closed)
        self.setMaximumHeight(self.HEIGHT if closed else 16777215)
        self.contentsCollapsed.emit(closed)

    collapsed = Property(bool, lambda s: s.__dict__.get("_closed", False), _close)

    def childEvent(self, event: Any) -> None:
        if (
            event.added()
            and self.__dict__.get("_closed")
            and isinstance(event.child(), QtWidgets.QWidget)
        ):
            event.child().hide()
        super().childEvent(event)

    def sizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        return (
            QtCore.QSize(200, self.HEIGHT)
            if self.__dict__.get("_closed") or layout is None
            else layout.totalSizeHint()
        )

    def paintEvent(self, event: Any) -> None:
        painter, option = QtWidgets.QStylePainter(self), QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), self.HEIGHT)
        option.text = ("▸ " if self._closed else "▾ ") + QtWidgets.QAbstractButton.text(self)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A box that folds."""

    def _close(self, closed: bool) -> None:
        self.__dict__["_closed"] = closed
        self.setMaximumHeight(24 if closed else 16777215)

    collapsed = Property(bool, lambda s: s.__dict__.get("_closed", False), _close)


def _plain(kind: Any, name: str, default: Any) -> Any:
    """A property that is kept and does nothing."""
    key = f"_plain_{name}"
    return Property(
        kind, lambda s: s.__dict__.get(key, default), lambda s, v: s.__dict__.__setitem__(key, v)
    )


class _Scened:
    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene: Any) -> None:
        self.__dict__["_scene"] = scene
        self.sceneSet()

    def sceneSet(self) -> None: ...


class qMRMLWidget(_Scened, QtWidgets.QWidget):
    """Root of a panel."""

    mrmlSceneChanged = Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def sceneSet(self) -> None:
        self.mrmlSceneChanged.emit(self.mrmlScene())


class qMRMLSliderWidget(ctkSliderWidget): ...


class qMRMLSpinBox(QtWidgets.QDoubleSpinBox): ...


class qMRMLRangeWidget(ctkRangeWidget): ...


class qMRMLNodeComboBox(_Scened, QtWidgets.QWidget):
    """Chooses a node; follows the scene, selects nothing by itself."""

    currentNodeChanged = Signal(object)
    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeChanged",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._ids, self._current = [""], ""
        self._combo.activated.connect(lambda i: self._choose(self._ids[i]))

    def sceneSet(self) -> None:
        import slicer

        scene = slicer.vtkMRMLScene
        for event in (
            scene.NodeAddedEvent,
            scene.NodeRemovedEvent,
            scene.EndCloseEvent,
            scene.EndImportEvent,
        ):
            self.mrmlScene().AddObserver(event, self._fill)
        self._fill()

    def _accepts(self, node: Any) -> bool:
        return any(node.IsA(t) for t in self.nodeTypes) and not any(
            node.IsA(t) for t in self.hideChildNodeTypes
        )

    def _fill(self, *_: Any) -> None:
        import shiboken6

        if not shiboken6.isValid(self):
            return
        scene = self.mrmlScene()
        nodes = [
            n
            for n in (scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes()))
            if self._accepts(n)
        ]
        nodes = [n for n in nodes if not n.GetHideFromEditors()]
        self._ids = ["", *(n.GetID() for n in nodes)]
        self._combo.blockSignals(True)
        self._combo.clear()
        for text in ("None", *(n.GetName() or "" for n in nodes)):
            self._combo.addItem(text)
        self._combo.blockSignals(False)
        self._choose(self._current if self._current in self._ids else "")

    def _choose(self, node_id: str) -> None:
        node_id = node_id if node_id in self._ids else ""
        self._combo.blockSignals(True)
        self._combo.setCurrentIndex(self._ids.index(node_id))
        self._combo.blockSignals(False)
        if node_id != self._current:
            self._current = node_id
            self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self) -> Any:
        return self.mrmlScene().GetNodeByID(self._current) if self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self._choose(node.GetID() if node is not None and not isinstance(node, str) else node or "")

    currentNodeID = Property(str, lambda s: s._current, lambda s, v: s._choose(v))
    nodeTypes = _plain("QStringList", "nodeTypes", [])
    hideChildNodeTypes = _plain("QStringList", "hideChildNodeTypes", [])
    addEnabled = _plain(bool, "addEnabled", True)
    removeEnabled = _plain(bool, "removeEnabled", True)
    renameEnabled = _plain(bool, "renameEnabled", False)
    noneEnabled = _plain(bool, "noneEnabled", False)
    selectNodeUponCreation = _plain(bool, "selectNodeUponCreation", True)


def start(slicer: Any) -> None:
    """The module ``ctk``, the qMRML classes in ``slicer``, and all of them for .ui files."""
    ctk = types.ModuleType("ctk")
    sys.modules["ctk"] = ctk
    plain = {
        "ctkCheckBox": QtWidgets.QCheckBox,
        "ctkComboBox": QtWidgets.QComboBox,
        "ctkDoubleSpinBox": QtWidgets.QDoubleSpinBox,
    }
    unused = [
        "ctkCheckablePushButton",
        "ctkDoubleSlider",
        "ctkDoubleRangeSlider",
        "ctkPathLineEdit",
        "ctkDirectoryButton",
    ]
    unused.append("ctkColorPickerButton")
    for name, base in {**plain, **dict.fromkeys(unused, QtWidgets.QWidget)}.items():
        setattr(ctk, name, type(name, (base,), {"__module__": __name__}))
    for name, cls in list(globals().items()):
        if isinstance(cls, type) and name.startswith(("ctk", "qMRML")):
            pythonqt.WIDGETS[name] = cls
            setattr(ctk if name.startswith("ctk") else slicer, name, cls)
    for name in (
        "qMRMLSubjectHierarchyTreeView",
        "qMRMLCheckableNodeComboBox",
        "qSlicerWidget",
        "qMRMLSubjectHierarchyComboBox",
    ):
        setattr(slicer, name, type(name, (qMRMLWidget,), {"__module__": __name__}))
