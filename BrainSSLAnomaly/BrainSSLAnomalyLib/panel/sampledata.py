"""The synthetic patient in the Sample Data module: no download, no internet."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

NAME = "BrainSSLAnomalySynthetic"


def register(icon: str) -> None:
    """Add the patient to the Sample Data module, where there is one.

    Args:
        icon: path of its picture.
    """
    try:
        from SampleData import SampleDataLogic
    except ImportError:
        return
    SampleDataLogic.registerCustomSampleDataSource(
        category="Brain SSL Anomaly",
        sampleName=NAME,
        uris="",
        fileNames="",
        nodeNames=_("Synthetic brain with lesions"),
        thumbnailFileName=icon,
        customDownloader=lambda source: load(),
    )


def load(spacing: float = 2.0) -> list[Any]:
    """Add FLAIR, T1 and T2 of the synthetic patient to the scene, under one patient and study.

    Args:
        spacing: edge of the voxels, in mm.

    Returns:
        The volume nodes, the FLAIR first, which is shown.
    """
    from ..phantom import synthetic_patient

    with slicer.util.WaitCursor():
        study, _truth = synthetic_patient(spacing=spacing)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "Synthetic patient")
    visit = tree.CreateStudyItem(patient, "Visit")
    nodes = []
    for modality in study.modalities:
        volume = study.scans[modality].volume
        name = f"Synthetic {modality.value}"
        node = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=volume.affine, name=name)
        node.CreateDefaultDisplayNodes()
        item = tree.GetItemByDataNode(node) or tree.CreateItem(visit, node)
        tree.SetItemParent(item, visit)
        nodes.append(node)
    slicer.util.setSliceViewerLayers(background=nodes[0], foreground=None, fit=True)
    return nodes
