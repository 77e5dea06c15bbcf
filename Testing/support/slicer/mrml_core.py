"""Brings up the real MRML core of Slicer (wheel ``slicer-core``) without Qt."""

from __future__ import annotations

import sys
import tempfile
import types
from typing import Any

_LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "terminologies": "vtkSlicerTerminologiesModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "models": "vtkSlicerModelsLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "tables": "vtkSlicerTablesLogic",
    "transforms": "vtkSlicerTransformLogic",
}


class Module:
    """Stands in for ``qSlicerCoreModule``."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


def start() -> Any:
    """Return ``slicer`` with scene, application logic and module logics.

    ``slicer.mrmlScene`` and ``slicer.modules`` work afterwards. Starts once a process.
    """
    import slicer
    import vtk

    if getattr(slicer, "mrmlScene", None) is not None:
        return slicer
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for factory in (
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(application)
    modules = types.ModuleType("slicer.modules")
    share = tempfile.mkdtemp(prefix="slicer-share-")
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        if hasattr(logic, "SetModuleShareDirectory"):
            logic.SetModuleShareDirectory(share)
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(application)
        application.SetModuleLogic(name.capitalize(), logic)
        setattr(modules, name, Module(name, logic))
    slicer.modules = sys.modules["slicer.modules"] = modules
    slicer.mrmlScene = scene
    slicer.testing_application_logic = application  # keeps it alive
    return slicer
