"""Right-click on a scan in the Data module: "Detect anomalies". Slicer loads this file by its path and wants this class name."""

from __future__ import annotations

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _


class BrainSSLAnomalySubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """One entry in the menu of scalar volumes."""

    filePath = __file__

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "BrainSSLAnomaly"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.action = qt.QAction(_("Detect anomalies..."), scriptedPlugin)
        self.action.connect("triggered()", self.onDetect)

    def canAddNodeToSubjectHierarchy(self, node, parentItemID):
        return 0.0

    def canOwnSubjectHierarchyItem(self, itemID):
        return 0.0

    def roleForPlugin(self):
        return "N/A"

    def itemContextMenuActions(self):
        return [self.action]

    def sceneContextMenuActions(self):
        return []

    def showContextMenuActionsForItem(self, itemID):
        node = self._node(itemID)
        self.action.visible = (
            node is not None
            and node.IsA("vtkMRMLScalarVolumeNode")
            and not node.IsA("vtkMRMLLabelMapVolumeNode")
        )

    def onDetect(self):
        """Open the module with the scans of this patient chosen, and start."""
        node = self._node(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if node is not None:
            slicer.util.selectModule("BrainSSLAnomaly")
            widget = slicer.modules.brainsslanomaly.widgetRepresentation().self()
            widget.scans.guess(node)
            if widget.scans.usable():
                widget.onDetect()

    def _node(self, itemID):
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        return tree.GetItemDataNode(itemID) if tree is not None and itemID else None
