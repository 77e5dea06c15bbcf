"""Stand-ins for the two C++ classes behind the right-click menus of Slicer's Data module."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


class PluginHandler:
    """Stands in for ``qSlicerSubjectHierarchyPluginHandler``: a singleton with all plugins."""

    _instance: PluginHandler | None = None

    def __init__(self) -> None:
        self.plugins: list[Any] = []
        self.item = 0

    @classmethod
    def instance(cls) -> PluginHandler:
        cls._instance = cls._instance or cls()
        return cls._instance

    def registerPlugin(self, plugin: Any) -> bool:
        """Add a plugin; one without a name, or with the name of another, is refused."""
        if not plugin.name or plugin.name in [p.name for p in self.plugins]:
            return False
        self.plugins.append(plugin)
        return True

    def pluginByName(self, name: str) -> Any:
        return next((plugin for plugin in self.plugins if plugin.name == name), None)

    def currentItem(self) -> int:
        return self.item

    def setCurrentItem(self, item: int) -> None:
        self.item = item


def scripted_plugin_class(qt: Any) -> type:
    """Return a stand-in for ``qSlicerSubjectHierarchyScriptedPlugin``, which is a QObject."""

    class ScriptedPlugin(qt.QObject):
        def __init__(self, parent: Any) -> None:
            super().__init__(parent)
            self.python: Any = None

        def setPythonSource(self, path: str) -> bool:
            """Load a file as a module of its own, and make the class that has the file's name."""
            if not path.endswith((".py", ".pyc")):
                return False
            name = Path(path).stem
            kind = name.removesuffix("SubjectHierarchyPlugin") + "SubjectHierarchyPlugin"
            if name not in sys.modules:
                spec = importlib.util.spec_from_file_location(name, path)
                assert spec is not None and spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules[name] = module
            self.python = getattr(sys.modules[name], kind)(self)
            return True

        def self(self) -> Any:
            return self.python

    return ScriptedPlugin
