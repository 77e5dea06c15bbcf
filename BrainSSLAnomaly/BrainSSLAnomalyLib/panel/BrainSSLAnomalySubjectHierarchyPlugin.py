"""The entry "Detect anomalies" in the right-click menu of scans in the Data module.

Slicer loads this file by its path, and needs this class name.
"""

from __future__ import annotations

from typing import Any

import qt
import slicer
from AbstractScriptedSubjectHierarchyPlugin import AbstractScriptedSubjectHierarchyPlugin
from slicer.i18n import tr as _


class BrainSSLAnomalySubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):  # type: ignore[misc]
    """Add one entry to the menu of scalar volumes."""

    filePath = __file__

    def __init__(self, scriptedPlugin: Any) -> None:
        scriptedPlugin.name = "BrainSSLAnomaly"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.action = qt.QAction(_("Detect anomalies..."), scriptedPlugin)
        self.action.connect("triggered()", self.onDetect)

    def canAddNodeToSubjectHierarchy(self, node: Any, parentItemID: int) -> float:
        """Leave all nodes to other plugins."""
        return 0.0

    def canOwnSubjectHierarchyItem(self, itemID: int) -> float:
        """Leave all items to other plugins."""
        return 0.0

    def roleForPlugin(self) -> str:
        """Return no role, since no item is owned."""
        return "N/A"

    def itemContextMenuActions(self) -> list[Any]:
        """Return the entry for items."""
        return [self.action]

    def sceneContextMenuActions(self) -> list[Any]:
        """Return no entry for the scene."""
        return []

    def showContextMenuActionsForItem(self, itemID: int) -> None:
        """Show the entry on scalar volumes only."""
        node = self._node(itemID)
        self.action.visible = (
            node is not None
            and node.IsA("vtkMRMLScalarVolumeNode")
            and not node.IsA("vtkMRMLLabelMapVolumeNode")
        )

    def onDetect(self) -> None:
        """Open the module with the scans of this patient chosen, and start."""
        node = self._node(slicer.qSlicerSubjectHierarchyPluginHandler.instance().currentItem())
        if node is not None:
            slicer.util.selectModule("BrainSSLAnomaly")
            widget = slicer.modules.brainsslanomaly.widgetRepresentation().self()
            widget.scans.guess(node)
            if widget.scans.areUsable():
                widget.onDetect()

    def _node(self, itemID: int) -> Any:
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        return tree.GetItemDataNode(itemID) if tree is not None and itemID else None
