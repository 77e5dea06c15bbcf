"""The views show scan, score over it, outline and surface.

Rendered by Slicer's own displayable managers, without a screen.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest
from support.project import PROJECT
from support.slicer.optional import needed

needed("slicer")

CODE = """
import sys
import numpy as np
from support.slicer import mrml_core
slicer = mrml_core.start()
from support.detections import as_by_network, make_detection
from support.slicer.rendered_views import render
detection = as_by_network(make_detection())
volume = detection.reference
scan = slicer.util.addVolumeFromArray(volume.array, ijkToRAS=volume.affine, name="FLAIR")
scan.CreateDefaultDisplayNodes()
scan.GetDisplayNode().AutoWindowLevelOff()
scan.GetDisplayNode().SetWindowLevelMinMax(0, 200)
pictures = render(detection, scan)
from BrainSSLAnomalyLib.scene import Results, show_layers
from support.slicer.rendered_views import slice_view
layers = Results.all_in_scene()[0].layers
view = slice_view("Second", "Axial")
for name, maps in {"score": ["score"], "z": ["zscore-T1"], "both": ["score", "zscore-T1"]}.items():
    show_layers(scan, [layers[m] for m in maps], 0.6)
    view.logic.FitSliceToBackground()
    view.node.JumpSlice(-24, 30, 15)
    pictures[name] = view.picture()
for name, background, maps in (
    ("scan", scan, []),
    ("healthy", layers["reconstruction"], []),
    ("error", scan, ["reconstruction_error"]),
):
    show_layers(background, [layers[m] for m in maps], 1.0)
    pictures[name] = view.picture()
np.savez(sys.argv[1], **pictures)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Name of the view → (height, width, 3) uint8.

    In a process of its own, since graphics drivers can crash.
    """
    if not sys.platform.startswith("linux") or not ctypes.util.find_library("EGL"):
        pytest.skip(
            "no EGL to render without a screen: on Debian, install libegl1 and libgl1-mesa-dri"
        )
    file = tmp_path_factory.mktemp("views") / "views.npz"
    path = os.pathsep.join(str(PROJECT / name) for name in ("Testing", "BrainSSLAnomaly"))
    env = {**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(file)],
        env=env,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    if done.returncode < 0:
        pytest.skip(f"the graphics driver of this machine crashed ({done.returncode})")
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(file) as saved:
        return dict(saved)


def colours(image):
    red, green, blue = (image[..., c].astype(int) for c in range(3))
    return red, green, blue


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_a_slice_shows_scan_in_grey_score_in_colour_and_outline_in_red(pictures, view):
    red, green, blue = colours(pictures[view])
    grey = (abs(red - green) < 6) & (abs(green - blue) < 6) & (red > 60)
    warm = (red > 150) & (red - blue > 60) & (green > 90)
    outline = (red > 200) & (green < 80) & (blue < 80)
    assert grey.mean() > 0.2 and 0.001 < warm.mean() < 0.1 and outline.sum() > 20


def test_the_lesion_on_the_patients_left_is_on_the_right_of_the_axial_picture(pictures):
    red, green, blue = colours(pictures["axial"])
    grey = (abs(red - green) < 6) & (abs(green - blue) < 6) & (red > 60)
    outline = (red > 200) & (green < 80) & (blue < 80)
    assert np.nonzero(outline)[1].mean() > np.nonzero(grey)[1].mean()
    assert np.nonzero(outline)[0].mean() < np.nonzero(grey)[0].mean()  # and in front, so above


def test_the_3d_view_shows_the_surface(pictures):
    red, green, blue = colours(pictures["solid"])
    assert ((red > 120) & (green < 90) & (blue < 90)).mean() > 0.02


def test_a_second_map_lies_over_the_first(pictures):
    score, z, both = (pictures[n].astype(int) for n in ("score", "z", "both"))
    assert (abs(both - score).sum(-1) > 60).sum() > 100 and (abs(both - z).sum(-1) > 30).sum() > 100


def test_a_map_of_deviations_leaves_the_scan_visible_where_it_is_healthy(pictures):
    red, green, blue = colours(pictures["z"])
    assert ((abs(red - green) < 6) & (abs(green - blue) < 6) & (red > 60)).mean() > 0.2
    assert ((blue - red > 60) & (blue > 120)).sum() > 100  # darker than healthy is blue


def test_the_reconstruction_differs_from_the_scan_in_the_lesion_alone(pictures):
    change = abs(pictures["scan"].astype(int) - pictures["healthy"]).sum(-1) > 30
    lesion = (pictures["error"].max(-1).astype(int) - pictures["error"].min(-1)) > 60
    assert change.sum() > 100 and change.mean() < 0.05
    assert (change & lesion).sum() > 0.8 * change.sum()


def test_a_heat_map_leaves_the_scan_visible_where_it_is_near_zero(pictures):
    red, green, blue = colours(pictures["error"])
    assert ((abs(red - green) < 6) & (abs(green - blue) < 6) & (red > 60)).mean() > 0.2
