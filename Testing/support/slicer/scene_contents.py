"""What the tests put into an MRML scene, and how they read it."""

from __future__ import annotations

import numpy as np
from BrainSSLAnomalyLib.core.settings import SegmentationSettings, ThresholdSettings
from BrainSSLAnomalyLib.segmentation import segment


def add_scan(volume, name):
    import slicer

    node = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=volume.affine, name=name)
    node.CreateDefaultDisplayNodes()
    tree = hierarchy()
    tree.CreateItem(tree.GetSceneItemID(), node)
    return node


def hierarchy():
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def turned(scene, node):
    """Put a node under a linear transform; the transform's node, and the transform."""
    import vtk

    turn = vtk.vtkTransform()
    turn.Translate(10, -20, 30)
    turn.RotateZ(20)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    transform.SetMatrixTransformToParent(turn.GetMatrix())
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform, turn


def load(scene, file):
    """As Slicer loads a scene bundle; the core alone cannot unpack it."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        archive.extractall(file.parent / "unpacked")
    (mrml,) = (file.parent / "unpacked").rglob("*.mrml")
    scene.SetURL(str(mrml))
    assert scene.Connect()


def node_ids(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def mask_of(node, reference):
    import slicer

    ids = node.GetSegmentation().GetSegmentIDs()
    return np.any(
        [slicer.util.arrayFromSegmentBinaryLabelmap(node, i, reference) > 0 for i in ids], axis=0
    )


def segmented(detection, **threshold):
    """Return mask and findings of a detection, and the settings that made them."""
    settings = SegmentationSettings(ThresholdSettings(**threshold))
    return segment(detection, settings), settings
