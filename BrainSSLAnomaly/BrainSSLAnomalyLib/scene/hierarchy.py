"""Results in the subject hierarchy: a folder beside their scan, under the same study."""

from __future__ import annotations

from typing import Any

import slicer

from .grids import Node

_FOLDER = "BrainSSLAnomaly.Folder"


def put_beside(node: Node, reference: Node, sibling: Node | None) -> None:
    """Put a result into the folder of its siblings, or into a new one under the parent of the scan.

    Args:
        node: the result.
        reference: the scan.
        sibling: another result of the same scan, if there is one.
    """
    tree = _tree()
    if tree is None:
        return
    item = _item(tree, node)
    if tree.HasItemAttribute(tree.GetItemParent(item), _FOLDER):
        return  # it stands there already, or somebody has moved it
    folder = folder_of(sibling) if sibling is not None and sibling is not node else 0
    if not folder:
        parent = tree.GetItemParent(_item(tree, reference)) or tree.GetSceneItemID()
        folder = tree.CreateFolderItem(parent, f"{reference.GetName()} anomalies")
        tree.SetItemAttribute(folder, _FOLDER, "1")
    tree.SetItemParent(item, folder)


def folder_of(node: Node | None) -> int:
    """Return the folder of ours that a result stands in, 0 if it stands elsewhere."""
    tree = _tree()
    if tree is None or node is None:
        return 0
    parent = tree.GetItemParent(_item(tree, node))
    return int(parent) if parent and tree.HasItemAttribute(parent, _FOLDER) else 0


def patient_and_study(node: Node) -> int:
    """Return the item that a scan stands under: scans under the same one belong together."""
    tree = _tree()
    return int(tree.GetItemParent(_item(tree, node))) if tree is not None else 0


def dicom_description(node: Node) -> dict[str, str]:
    """Return the DICOM attributes that tell the contrast of a scan; empty for scans from files."""
    tree = _tree()
    if tree is None:
        return {}
    item = _item(tree, node)
    names = {"SeriesDescription": "DICOM.SeriesDescription", "ProtocolName": "DICOM.ProtocolName"}
    found = {
        name: tree.GetItemAttribute(item, key)
        for name, key in names.items()
        if tree.HasItemAttribute(item, key)
    }
    return {name: str(value) for name, value in found.items() if value}


def _tree() -> Any:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def _item(tree: Any, node: Node) -> int:
    return int(tree.GetItemByDataNode(node) or tree.CreateItem(tree.GetSceneItemID(), node))
