"""What is drawn stands where it should, upright, in the colours that it should have."""

from __future__ import annotations

import io

import numpy as np
import pytest
from BrainSSLAnomalyLib.report.canvas import GREY, HEAT, Canvas
from PIL import Image


def pixels(canvas: Canvas) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(canvas.png())).convert("RGB")).astype(int)


def test_rows_rise_from_below_and_the_window_is_black_to_white():
    canvas = Canvas(1, 1, 100, 80)
    panel = canvas.panel(0, (80.0, 100.0))
    plane = np.zeros((8, 10), np.float32)
    plane[6:] = 2.0
    panel.show(plane, (0.0, 2.0))
    shown = pixels(canvas)[panel.top : panel.top + panel.height]
    assert shown[5].max() == 255 and shown[-5].max() == 0


def test_a_flat_plane_lies_in_the_middle_of_its_cell_in_its_own_proportions():
    canvas = Canvas(2, 1, 100, 100, titled_rows=1)
    panel = canvas.panel(1, (30.0, 60.0))
    assert (panel.width, panel.height) == (100, 50)
    panel.show(np.ones((3, 6), np.float32), (0, 1))
    lit = np.argwhere(pixels(canvas).max(2) > 0)
    assert lit.min(0).tolist() == [panel.top, panel.left]
    assert (lit.max(0) - lit.min(0) + 1).tolist() == [50, 100]


def test_an_outline_is_a_closed_line_around_the_mask_and_nothing_else():
    canvas = Canvas(1, 1, 120, 120)
    panel = canvas.panel(0, (12.0, 12.0))
    mask = np.zeros((12, 12), bool)
    mask[2:6, 3:9] = True
    panel.outline(mask, "#ff0000")
    red = pixels(canvas)[panel.top :, panel.left :, 0] > 60
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max()) == (pytest.approx(60, abs=2), pytest.approx(100, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(30, abs=2), pytest.approx(90, abs=2))
    assert not red[70:90, 45:75].any()
    panel.outline(np.zeros((12, 12), bool), "#ff0000")  # nothing to draw


def test_an_overlay_hides_nothing_below_its_level():
    canvas = Canvas(1, 1, 40, 40)
    panel = canvas.panel(0, (4.0, 4.0))
    panel.show(np.ones((4, 4), np.float32), (0, 1), GREY)
    score = np.zeros((4, 4), np.float32)
    score[0, 0] = 1.0
    panel.overlay(score, (0, 1), visible_from=0.05, opacity=1.0)
    shown = pixels(canvas)
    assert shown[panel.top + 5, panel.left + 35].tolist() == [255, 255, 255]
    assert shown[panel.top + 35, panel.left + 5].tolist() == HEAT[255].tolist()


def test_the_heat_map_rises_in_brightness():
    luminance = HEAT.astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) > -1.0).all() and luminance[0] < 3 and luminance[-1] > 230
