"""Real slice and 3-D views of Slicer, rendered without a screen.

``PYTHONPATH=Testing python -m support.slicer.rendered_views OUT [FLAIR_FILE]`` detects in
the scan (or in the synthetic patient), writes the result into the scene as the panel does, and
writes ``axial.png``, ``coronal.png``, ``sagittal.png``, ``solid.png`` and a picture of all four.
Needs EGL (Debian: libegl1 libgl1-mesa-dri).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import numpy as np
from BrainSSLAnomalyLib.core.study import Modality, Study

from support.slicer import mrml_core

SIZE = (480, 480)
_SLICE_PARTS = ("VolumeGlyphSlice", "ModelSlice", "Crosshair", "ColorLegend")
_SOLID_PARTS = ("Camera", "View", "Model")


class View:
    """A renderer with Slicer's displayable managers.

    Args:
        factory: of the managers.
        parts: class names of those to be used.
        logic: of the view, in the application's list.
        node: of the view.
    """

    def __init__(self, factory: Any, parts: list[str], logic: Any, node: Any) -> None:
        import slicer
        import vtk

        self.logic, self.node = logic, node
        self.mapper: Any = None
        self.actor: Any = None
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetShowWindow(False)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*SIZE)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        for part in parts:
            if not factory.IsDisplayableManagerRegistered(part):
                factory.RegisterDisplayableManager(part)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)
        self.group.SetMRMLDisplayableNode(node)

    def picture(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        if self.mapper is not None:  # a slice has no picture before it has a volume
            self.mapper.SetInputConnection(self.logic.GetImageDataConnection())
            self.renderer.AddViewProp(self.actor)
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        image = grab.GetOutput()
        width, height, _ = image.GetDimensions()
        return (
            vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
        )


def slice_view(name: str, orientation: str) -> View:
    """A slice view of the scene."""
    import slicer
    import vtk

    application = slicer.testing_application_logic
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode(name)
    node.SetOrientation(orientation)
    parts = [
        f"vtkMRML{p}DisplayableManager"
        for p in _SLICE_PARTS
        if hasattr(slicer, f"vtkMRML{p}DisplayableManager")
    ]
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    view = View(factory, [*parts, "vtkMRMLSegmentationsDisplayableManager2D"], logic, node)
    view.renderer.GetActiveCamera().ParallelProjectionOn()
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    view.mapper, view.actor = mapper, actor
    logic.ResizeSliceNode(*SIZE)
    return view


def solid_view() -> View:
    """A 3-D view of the scene."""
    import slicer

    application = slicer.testing_application_logic
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetViewLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddViewNode("View1")
    node.SetBoxVisible(0)
    node.SetAxisLabelsVisible(0)
    parts = [f"vtkMRML{p}DisplayableManager" for p in _SOLID_PARTS] + [
        "vtkMRMLSegmentationsDisplayableManager3D"
    ]
    return View(slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance(), parts, logic, node)


def render(detection: Any, scan: Any, legend: bool = False) -> dict[str, np.ndarray]:
    """Pictures of a detection as the panel shows it: scan, score, outline, surface.

    Args:
        detection: what was found.
        scan: volume node of the reference.
        legend: with the colour legend.
    """
    from BrainSSLAnomalyLib.scene import Results, jump_to, show_layers, show_threshold
    from BrainSSLAnomalyLib.scene.maps import show_legend
    from BrainSSLAnomalyLib.scene.masks import show_surface
    from BrainSSLAnomalyLib.scene.session import Session

    results = Results.write(detection, {detection.modality: scan})
    session = Session(results)
    node = session.write()
    show_surface(node, True)
    planes = {
        "axial": ("Red", "Axial"),
        "coronal": ("Green", "Coronal"),
        "sagittal": ("Yellow", "Sagittal"),
    }
    views = {name: slice_view(*plane) for name, plane in planes.items()}
    show_layers(scan, [results.layers["score"]], 0.6)
    show_threshold(results.layers["score"], session.lowest_level(session.settings))
    show_legend(results.layers["score"], legend)
    for view in views.values():
        view.logic.FitSliceToBackground()
    jump_to(session.findings[0].peak_ras)
    solid = solid_view()
    solid.renderer.SetBackground(0.75, 0.76, 0.9)
    solid.renderer.ResetCamera()
    views["solid"] = solid
    solid.window.Render()
    solid.renderer.ResetCamera()
    return {name: view.picture() for name, view in views.items()}


def main() -> None:
    from matplotlib.image import imsave

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    slicer = mrml_core.start()
    from BrainSSLAnomalyLib.detection.detect import detect
    from BrainSSLAnomalyLib.imageio import read_scan
    from BrainSSLAnomalyLib.phantom import synthetic_patient

    if len(sys.argv) > 2:
        study = Study({Modality.FLAIR: read_scan(Path(sys.argv[2]), Modality.FLAIR)})
    else:
        study, _ = synthetic_patient()
    detection = detect(study)
    grid = detection.reference
    scan = slicer.util.addVolumeFromArray(grid.array, ijkToRAS=grid.affine, name="FLAIR")
    scan.CreateDefaultDisplayNodes()
    inside = grid.array[detection.brain_mask]
    scan.GetDisplayNode().AutoWindowLevelOff()
    scan.GetDisplayNode().SetWindowLevelMinMax(0, float(np.percentile(inside, 99.8)))
    pictures = render(detection, scan)
    for name, image in pictures.items():
        imsave(folder / f"{name}.png", image)
    rows = [
        np.hstack([pictures[n] for n in pair])
        for pair in (("axial", "solid"), ("coronal", "sagittal"))
    ]
    imsave(folder / "views.png", np.vstack(rows))


if __name__ == "__main__":
    main()
