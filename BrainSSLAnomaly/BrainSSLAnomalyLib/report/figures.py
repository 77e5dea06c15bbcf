"""Pictures of a detection as a radiologist expects them: patient's right on the left of the picture, anterior up."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.results import Detection, Finding, MapName, Segmentation
from ..core.study import Volume

MASK_COLOUR = "#ff4d4d"
HEAT = "inferno"

HEAT_MAPS: Mapping[MapName, tuple[str, float]] = {
    MapName.ERROR: ("reconstruction error, SD", 4.0),
    MapName.GRADCAM: ("Grad-CAM", 1.0),
    MapName.LATENT: ("latent distance", 1.5),
    MapName.UNCERTAINTY: ("uncertainty, logit SD", 3.0),
}
"""What a network adds: title, and the value that is shown brightest."""


@dataclass(frozen=True)
class Canonical:
    """Arrays with axes (superior, anterior, right) rising, by permuting and flipping alone.

    Attributes:
        image, score, mask: (k, j, i).
        spacing: along (k, j, i), in mm.
        affine: (i, j, k) → RAS mm.
        window: intensities shown as black and white.
        maps: what a network adds, by name, and others that were given.
    """

    image: NDArray[np.float32]
    score: NDArray[np.float32]
    mask: NDArray[np.bool_]
    spacing: tuple[float, float, float]
    affine: NDArray[np.float64]
    window: tuple[float, float]
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def index(self, ras: tuple[float, float, float]) -> tuple[int, int, int]:
        """Nearest (k, j, i) of a place in RAS mm."""
        i, j, k = (np.linalg.inv(self.affine) @ [*ras, 1.0])[:3]
        k, j, i = (
            int(np.clip(round(float(v)), 0, n - 1))
            for v, n in zip((k, j, i), self.image.shape, strict=True)
        )
        return k, j, i


def canonical(
    detection: Detection,
    segmentation: Segmentation,
    more: Mapping[str, NDArray[np.float32]] | None = None,
) -> Canonical:
    """The detection turned upright and cropped to the brain, with ``more`` maps on its grid beside those that it has."""
    from nibabel import orientations

    grid = detection.reference
    turn = orientations.io_orientation(grid.affine)

    def turned(array: NDArray) -> NDArray:
        return orientations.apply_orientation(array.T, turn).T

    affine = grid.affine @ orientations.inv_ornt_aff(turn, grid.array.shape[::-1])
    brain = turned(detection.brain_mask)
    box = []
    spacing = Volume(brain, affine).spacing
    for axis in range(3):
        line = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(6 / spacing[axis])
        box.append(slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin))
    crop = tuple(box)
    affine[:3, 3] = (affine @ [box[2].start, box[1].start, box[0].start, 1.0])[:3]
    image = turned(grid.array)[crop].astype(np.float32)
    inside = grid.array[detection.brain_mask]
    low, high = np.percentile(inside, [1.0, 99.7]).tolist()
    background = min(low, float(np.percentile(image, 1)))
    score, mask = turned(detection.anomaly_score)[crop], turned(segmentation.mask)[crop]
    maps = {str(name.value): turned(array)[crop] for name, array in detection.maps.items()}
    maps |= {name: turned(array)[crop] for name, array in (more or {}).items()}
    return Canonical(image, score, mask, spacing, affine, (background, high), maps)


def montage(view: Canonical, columns: int = 6, rows: int = 3) -> str:
    """Axial slices through the brain, from below to above, with the mask outlined. PNG as a data address."""
    count = min(columns * rows, view.image.shape[0])
    chosen = np.linspace(0.08, 0.92, count) * (view.image.shape[0] - 1)
    figure, axes = new_figure(columns, -(-count // columns), 2.0, proportion(view, 0))
    for ax, k in zip(axes, chosen, strict=False):
        _plane(ax, view, 0, round(float(k)))
    letters(axes[0], ("R", "L"), ("A", "P"))
    return _png(figure)


def three_planes(view: Canonical, finding: Finding) -> str:
    """Axial, coronal and sagittal planes through the peak of a finding, the scan above and the heat map below."""
    place = view.index(finding.peak_ras)
    figure, axes = new_figure(3, 2, 2.6, 1.1)
    sides = ((("R", "L"), ("A", "P")), (("R", "L"), ("S", "I")), (("P", "A"), ("S", "I")))
    heat = None
    for axis in range(3):
        top, bottom = axes[axis], axes[3 + axis]
        _plane(top, view, axis, place[axis])
        _plane(bottom, view, axis, place[axis], contour=False)
        heat = _heat(bottom, view, axis, place[axis])
        _cross(top, view, axis, place)
        letters(top, *sides[axis])
        top.set_title(("axial", "coronal", "sagittal")[axis], fontsize=7, color="#bbbbbb", pad=2)
    figure.subplots_adjust(right=0.92)
    bar = figure.colorbar(heat, cax=figure.add_axes((0.93, 0.06, 0.012, 0.4)))
    bar.ax.tick_params(labelsize=6, colors="#dddddd")
    bar.set_label("anomaly score", fontsize=6, color="#dddddd")
    return _png(figure)


def network_maps(view: Canonical, finding: Finding) -> str:
    """The axial plane through the peak of a finding: the scan, what it would look like healthy, and every heat map."""
    k = view.index(finding.peak_ras)[0]
    heat_maps = [(name, *HEAT_MAPS[name]) for name in HEAT_MAPS if name in view.maps]
    figure, axes = new_figure(2 + len(heat_maps), 1, 1.9, 1.08 * proportion(view, 0))
    _plane(axes[0], view, 0, k)
    grey = {
        "cmap": "gray",
        "vmin": view.window[0],
        "vmax": view.window[1],
        "origin": "lower",
        "aspect": pixel(view, 0),
    }
    axes[1].imshow(plane_of(view.maps[MapName.RECONSTRUCTION], 0, k), **grey)
    titles = ["scan", "healthy reconstruction"]
    for ax, (name, title, top) in zip(axes[2:], heat_maps, strict=True):
        ax.imshow(
            plane_of(view.maps[name], 0, k),
            cmap=HEAT,
            vmin=0,
            vmax=top,
            origin="lower",
            aspect=pixel(view, 0),
        )
        titles.append(f"{title}, 0–{top:g}")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=6, color="#bbbbbb", pad=2)
    figure.subplots_adjust(top=0.92)
    letters(axes[0], ("R", "L"), ("A", "P"))
    return _png(figure)


def plane_of(array: NDArray, axis: int, n: int) -> NDArray:
    """As shown: axial and coronal with the patient's right on the left, sagittal with anterior on the right."""
    plane = np.take(array, n, axis=axis)
    return plane[:, ::-1] if axis < 2 else plane


def _plane(ax: Any, view: Canonical, axis: int, n: int, *, contour: bool = True) -> None:
    plane = plane_of(view.image, axis, n)
    ax.imshow(
        plane,
        cmap="gray",
        vmin=view.window[0],
        vmax=view.window[1],
        origin="lower",
        aspect=pixel(view, axis),
    )
    mask = plane_of(view.mask, axis, n)
    if contour and mask.any():
        ax.contour(mask, levels=[0.5], colors=[MASK_COLOUR], linewidths=0.7)


def _heat(ax: Any, view: Canonical, axis: int, n: int) -> Any:
    score = plane_of(view.score, axis, n)
    shown = np.ma.masked_less(score, 0.05)
    return ax.imshow(
        shown,
        cmap=HEAT,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect=pixel(view, axis),
        alpha=0.75,
        interpolation="nearest",
    )


def _cross(ax: Any, view: Canonical, axis: int, place: tuple[int, int, int]) -> None:
    row, column = [p for a, p in enumerate(place) if a != axis]
    if axis < 2:
        column = view.image.shape[2] - 1 - column
    style = {"color": "#66ccff", "linewidth": 0.4, "alpha": 0.8}
    ax.axhline(row, **style)
    ax.axvline(column, **style)


def letters(ax: Any, across: tuple[str, str], along: tuple[str, str]) -> None:
    """Write the sides of the patient: left and right, top and bottom of a picture."""
    style = {
        "transform": ax.transAxes,
        "color": "#ffd966",
        "fontsize": 8,
        "fontweight": "bold",
        "ha": "center",
        "va": "center",
    }
    for x, y, letter in (
        (0.05, 0.5, across[0]),
        (0.95, 0.5, across[1]),
        (0.5, 0.95, along[0]),
        (0.5, 0.05, along[1]),
    ):
        ax.text(x, y, letter, **style)


def pixel(view: Canonical, axis: int) -> float:
    """Height of a voxel over its width in a plane across an axis."""
    row, column = [s for a, s in enumerate(view.spacing) if a != axis]
    return row / column


def proportion(view: Canonical, axis: int) -> float:
    """Height over width of a plane across an axis."""
    row, column = [
        n * s
        for a, (n, s) in enumerate(zip(view.image.shape, view.spacing, strict=True))
        if a != axis
    ]
    return row / column


def new_figure(columns: int, rows: int, width: float, aspect: float) -> tuple[Any, list[Any]]:
    """A black figure and its axes, row by row; ``width`` of one in inches, ``aspect`` its height over it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * width * aspect), dpi=110, facecolor="black")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.96 if rows == 2 else 0.995, 0.02, 0.02)
    for ax in axes:
        ax.set_axis_off()
    return figure, axes


def png(figure: Any) -> bytes:
    """A figure as a file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="black")
    return stream.getvalue()


def _png(figure: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode()
