"""PySide6 made to behave as PythonQt does inside Slicer.

A panel that passes here is written for the real one. PythonQt shows Qt properties as attributes
(``slider.value``, never ``slider.value()``), connects signals by their C++ signature as text, gives
string lists as tuples, and refuses new attributes on C++ objects. PySide6 does none of this by
itself, and would let ``widget.text = "x"`` pass in silence.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import tempfile
import types
import xml.etree.ElementTree as ElementTree
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtTest, QtUiTools, QtWidgets

QObject = QtCore.QObject
_get, _meta = QObject.__getattribute__, QObject.metaObject
_connect_signal, _disconnect_signal = QObject.connect, QObject.disconnect
_reading: set[tuple[str, int]] = set()
WIDGETS: dict[str, type] = {}
"""Class name in a .ui file → stand-in."""


def _is_python(cls: type) -> bool:
    return not cls.__module__.startswith(("PySide6.", "Shiboken", "shiboken6"))


def _python_attribute(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if not _is_python(base):
            return None
        if name in vars(base):
            return vars(base)[name]
    return None


def _as_property(prop: QtCore.QMetaProperty, value: Any) -> Any:
    """What PythonQt makes of a value that is assigned to a property of this type."""
    kind = prop.typeName()
    if kind == "bool":
        return bool(value)
    if kind in ("int", "uint") and isinstance(value, float):
        return math.floor(value)
    if kind in ("int", "uint", "double", "float") and (value is None or isinstance(value, str)):
        raise TypeError(f"{value!r} is no number")
    if kind in ("double", "float"):
        return float(value)
    return str(value) if kind == "QString" else value


def _getattr(self: QObject, name: str) -> Any:
    if name.startswith("__") or name == "staticMetaObject":
        return _get(self, name)
    if name == "connect":
        return types.MethodType(connect, self)
    if name == "disconnect":
        return types.MethodType(disconnect, self)
    own = _python_attribute(type(self), name)
    if own is not None:
        value = _get(self, name)
        return (
            tuple(value) if isinstance(own, QtCore.Property) and isinstance(value, list) else value
        )
    index = _meta(self).indexOfProperty(name)
    if index >= 0 and (name, id(self)) not in _reading:
        _reading.add((name, id(self)))
        try:
            value = _meta(self).property(index).read(self)
        finally:
            _reading.discard((name, id(self)))
        return tuple(value) if isinstance(value, list) else value
    try:
        return _get(self, name)
    except AttributeError:
        if name == "name":
            return QObject.objectName(self)
        value = QObject.property(self, name)
        if value is None:
            raise AttributeError(
                f"{_meta(self).className()} has no attribute named '{name}'"
            ) from None
        return value


def _setattr(self: QObject, name: str, value: Any) -> None:
    if isinstance(value, QtCore.SignalInstance):  # PySide6 keeps bound signals this way
        self.__dict__[name] = value
        return
    cls = type(self)
    index = _meta(self).indexOfProperty(name)
    if index >= 0:
        prop = _meta(self).property(index)
        if not prop.isWritable():
            raise AttributeError(f"property '{name}' of {cls.__name__} is not writable")
        own = _python_attribute(cls, name)
        try:
            if isinstance(own, QtCore.Property):
                own.fset(self, _as_property(prop, value))
                return
            if prop.write(self, _as_property(prop, value)):
                return
        except (TypeError, ValueError):
            pass
        raise AttributeError(
            f"property '{name}' of type {prop.typeName()} does not accept {value!r}"
        )
    if name == "name":
        QObject.setObjectName(self, value)
    elif _is_python(cls):
        self.__dict__[name] = value
    else:
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__}, and C++ objects take no new attributes"
        )


def _signal(self: QObject, signature: str) -> tuple[str, str]:
    """Name of a Python signal, or normalised C++ signature; one of both."""
    text = bytes(QtCore.QMetaObject.normalizedSignature(signature)).decode()
    alias = getattr(type(self), "SIGNALS", {}).get(text, "")
    if not alias and _meta(self).indexOfSignal(text) < 0:
        raise ValueError(f"{_meta(self).className()} has no signal {signature}")
    return alias, text


def connect(self: QObject, signal: Any, *rest: Any) -> Any:
    """Connect as ``connect("clicked()", f)``; PySide6's form works too: Slicer's layer uses it."""
    if not isinstance(signal, str):
        return _connect_signal(self, signal, *rest)
    alias, text = _signal(self, signal)
    if alias:
        _get(self, alias).connect(_taking(rest[0], text))
        return True
    return bool(_connect_signal(self, QtCore.SIGNAL(text), rest[0]))


def _taking(slot: Any, signature: str) -> Any:
    """As many arguments as the signature names."""
    inside = signature[signature.index("(") + 1 : -1]
    count = len(inside.split(",")) if inside else 0
    return lambda *args: slot(*args[:count])


def disconnect(self: QObject, signal: Any, *rest: Any) -> Any:
    """Of a signal as text, with the slot it was connected to."""
    if not isinstance(signal, str):
        return _disconnect_signal(self, signal, *rest)
    alias, text = _signal(self, signal)
    return (
        _get(self, alias).disconnect()
        if alias
        else _disconnect_signal(self, QtCore.SIGNAL(text), *rest)
    )


def _classes() -> dict[str, type]:
    return {
        n: c
        for m in (QtCore, QtGui, QtWidgets)
        for n in dir(m)
        if isinstance(c := getattr(m, n), type)
    }


class UiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file with the stand-ins, and makes its connections, also those of MRML nodes."""

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if class_name not in WIDGETS:
            return super().createWidget(class_name, parent, name)
        widget = WIDGETS[class_name](parent)
        QObject.setObjectName(widget, name)
        return widget

    def load(self, device: Any, parent: Any = None) -> Any:
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        device.close()
        unknown = {c.findtext("class") for c in root.iter("customwidget")} - set(WIDGETS)
        if unknown:
            raise RuntimeError(f"no stand-in for {sorted(map(str, unknown))}")
        wires = []
        for block in root.findall("connections"):
            wires += [
                [c.findtext(part) for part in ("sender", "signal", "receiver", "slot")]
                for c in block
            ]
            root.remove(block)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        top = super().load(buffer, parent)

        def find(name: Any) -> Any:
            return top if QObject.objectName(top) == name else top.findChild(QObject, name)

        for sender, signal, receiver, slot in wires:
            connect(find(sender), signal, getattr(find(receiver), slot.split("(")[0]))
        return top


def _spare_references() -> None:
    """Give None, True and False some references to spare.

    PySide6 6.12 gives back one too many when a property is absent or a signal is emitted. Before
    Python 3.12, where these objects live for ever, that ends the process sooner or later.
    """
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 10_000_000


def start() -> Any:
    """The module ``qt``; once a process. From here on every Qt object follows PythonQt's rules."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    _spare_references()
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["tests"])
    application.setApplicationName("Slicer")
    application.setOrganizationName("tests")
    QtCore.QSettings.setPath(
        QtCore.QSettings.Format.NativeFormat,
        QtCore.QSettings.Scope.UserScope,
        tempfile.mkdtemp(prefix="qt-settings-"),
    )
    qt = types.ModuleType("qt")
    for name, cls in _classes().items():
        setattr(qt, name, cls)
    qt.Qt, qt.QUiLoader, qt.QTest = QtCore.Qt, UiLoader, QtTest.QTest  # type: ignore[attr-defined]
    for cls in _classes().values():
        if issubclass(cls, QObject):
            cls.__setattr__ = _setattr  # type: ignore[method-assign, assignment]
    QObject.__getattribute__ = _getattr  # type: ignore[method-assign, assignment]
    QObject.className = lambda self: _meta(self).className()  # type: ignore[attr-defined]
    qt.application = application  # type: ignore[attr-defined]
    sys.modules["qt"] = qt
    return qt
