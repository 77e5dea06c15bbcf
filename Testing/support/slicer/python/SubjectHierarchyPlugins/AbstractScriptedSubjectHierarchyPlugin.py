"""A stand-in for Slicer's base class of the right-click menus of the Data module."""

import slicer


class AbstractScriptedSubjectHierarchyPlugin:
    """Keep the adaptor of C++, and register it with Slicer."""

    def __init__(self, scriptedPlugin):
        self.scriptedPlugin = scriptedPlugin
        self.register()

    def register(self):
        slicer.qSlicerSubjectHierarchyPluginHandler.instance().registerPlugin(self.scriptedPlugin)
