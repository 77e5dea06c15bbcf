"""Figures in the radiological convention: the patient's right on the left, anterior up."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid, bounding_box
from ..core.results import Detection, Finding, MapName, Segmentation
from ..core.study import Volume

MARGIN_MM = 6.0
"""Around the brain."""

MASK_COLOUR = "#ff4d4d"
HEAT = "inferno"

HEAT_MAPS: Mapping[MapName, tuple[str, float]] = {
    MapName.ERROR: ("reconstruction error, SD", 4.0),
    MapName.GRADCAM: ("Grad-CAM", 1.0),
    MapName.LATENT: ("feature distance", 1.5),
    MapName.UNCERTAINTY: ("uncertainty, logit SD", 3.0),
}
"""Maps of a network: title, and the value that is drawn brightest."""


@dataclass(frozen=True)
class CanonicalView:
    """Hold arrays whose axes rise to superior, anterior and right, by permuting and flipping alone.

    Attributes:
        image: (k, j, i), the reference scan.
        score: (k, j, i), anomaly score.
        mask: (k, j, i) bool.
        grid: of all of them.
        window: intensities drawn black and white.
        maps: (k, j, i) by name: those of a network, and others that were given.
    """

    image: NDArray[np.float32]
    score: NDArray[np.float32]
    mask: NDArray[np.bool_]
    grid: Grid
    window: tuple[float, float]
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def index(self, ras: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the voxel (k, j, i) nearest to a place in RAS mm."""
        k, j, i = (
            min(max(round(v), 0), n - 1)
            for v, n in zip(self.grid.to_index(ras), self.grid.shape, strict=True)
        )
        return k, j, i


def canonical_view(
    detection: Detection,
    segmentation: Segmentation,
    more: Mapping[str, NDArray[np.float32]] | None = None,
) -> CanonicalView:
    """Return a detection with canonical axes, cropped to the brain.

    Args:
        detection: to be drawn.
        segmentation: its mask is outlined.
        more: maps (k, j, i) by name on the grid of the detection, beside those that it has.
    """
    # nibabel.as_closest_canonical turns an image; here one turn serves a dozen arrays.
    from nibabel import orientations

    grid = detection.reference
    turn = orientations.io_orientation(grid.affine)

    affine = grid.affine @ orientations.inv_ornt_aff(turn, grid.array.shape[::-1])

    def turned(array: NDArray) -> NDArray:
        canonical: NDArray = orientations.apply_orientation(array.T, turn).T
        return canonical

    brain = Volume(turned(detection.brain_mask), affine)
    k, j, i = (round(MARGIN_MM / s) for s in brain.spacing)
    box = bounding_box(brain.array, (k, j, i))

    def cropped(array: NDArray) -> NDArray:
        return turned(array)[box]

    image = cropped(grid.array).astype(np.float32)
    inside = grid.array[detection.brain_mask]
    low, high = np.percentile(inside, [1.0, 99.7]).tolist()
    background = min(low, float(np.percentile(image, 1)))
    maps = {str(name.value): cropped(array) for name, array in detection.maps.items()}
    maps |= {name: cropped(array) for name, array in (more or {}).items()}
    return CanonicalView(
        image=image,
        score=cropped(detection.anomaly_score),
        mask=cropped(segmentation.mask),
        grid=brain.grid.crop(box),
        window=(background, high),
        maps=maps,
    )


def montage(view: CanonicalView, columns: int = 6, rows: int = 3) -> str:
    """Return axial slices from below to above, the mask outlined, as a data URL (PNG)."""
    count = min(columns * rows, view.image.shape[0])
    chosen = np.linspace(0.08, 0.92, count) * (view.image.shape[0] - 1)
    figure, axes = new_figure(columns, -(-count // columns), 2.0, plane_aspect(view, 0))
    for ax, k in zip(axes, chosen, strict=False):
        _plane(ax, view, 0, round(float(k)))
    letters(axes[0], ("R", "L"), ("A", "P"))
    return _data_url(figure)


def three_planes(view: CanonicalView, finding: Finding) -> str:
    """Return three planes through the peak of a finding, scan above score, as a data URL."""
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
    return _data_url(figure)


def network_maps(view: CanonicalView, finding: Finding) -> str:
    """Return scan, reconstruction and heat maps at the peak of a finding, as a data URL."""
    k = view.index(finding.peak_ras)[0]
    heat_maps = [(name, *HEAT_MAPS[name]) for name in HEAT_MAPS if name in view.maps]
    figure, axes = new_figure(2 + len(heat_maps), 1, 1.9, 1.08 * plane_aspect(view, 0))
    _plane(axes[0], view, 0, k)
    grey = {
        "cmap": "gray",
        "vmin": view.window[0],
        "vmax": view.window[1],
        "origin": "lower",
        "aspect": pixel_aspect(view, 0),
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
            aspect=pixel_aspect(view, 0),
        )
        titles.append(f"{title}, 0–{top:g}")
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=6, color="#bbbbbb", pad=2)
    figure.subplots_adjust(top=0.92)
    letters(axes[0], ("R", "L"), ("A", "P"))
    return _data_url(figure)


def plane_of(array: NDArray, axis: int, n: int) -> NDArray:
    """Return one plane as it is drawn: the patient's right, or posterior, on the left."""
    plane: NDArray = np.take(array, n, axis=axis)
    return plane[:, ::-1] if axis < 2 else plane


def _plane(ax: Any, view: CanonicalView, axis: int, n: int, *, contour: bool = True) -> None:
    plane = plane_of(view.image, axis, n)
    ax.imshow(
        plane,
        cmap="gray",
        vmin=view.window[0],
        vmax=view.window[1],
        origin="lower",
        aspect=pixel_aspect(view, axis),
    )
    mask = plane_of(view.mask, axis, n)
    if contour and mask.any():
        ax.contour(mask, levels=[0.5], colors=[MASK_COLOUR], linewidths=0.7)


def _heat(ax: Any, view: CanonicalView, axis: int, n: int) -> Any:
    score = plane_of(view.score, axis, n)
    shown = np.ma.masked_less(score, 0.05)
    return ax.imshow(
        shown,
        cmap=HEAT,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect=pixel_aspect(view, axis),
        alpha=0.75,
        interpolation="nearest",
    )


def _cross(ax: Any, view: CanonicalView, axis: int, place: tuple[int, int, int]) -> None:
    row, column = [p for a, p in enumerate(place) if a != axis]
    if axis < 2:
        column = view.image.shape[2] - 1 - column
    style = {"color": "#66ccff", "linewidth": 0.4, "alpha": 0.8}
    ax.axhline(row, **style)
    ax.axvline(column, **style)


def letters(ax: Any, across: tuple[str, str], along: tuple[str, str]) -> None:
    """Write the sides of the patient at left and right, top and bottom of a picture."""
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


def pixel_aspect(view: CanonicalView, axis: int) -> float:
    """Return height over width of a voxel, in a plane across an axis."""
    row, column = [s for a, s in enumerate(view.grid.spacing) if a != axis]
    return row / column


def plane_aspect(view: CanonicalView, axis: int) -> float:
    """Return height over width of a plane across an axis."""
    sizes = [n * s for n, s in zip(view.grid.shape, view.grid.spacing, strict=True)]
    row, column = (size for a, size in enumerate(sizes) if a != axis)
    return row / column


def new_figure(columns: int, rows: int, width: float, aspect: float) -> tuple[Any, list[Any]]:
    """Return a black figure and its axes, row by row.

    Args:
        columns: number of them.
        rows: number of them.
        width: of one picture, in inches.
        aspect: of one picture, height over width.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * width * aspect), dpi=110, facecolor="black")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.96 if rows == 2 else 0.995, 0.02, 0.02)
    for ax in axes:
        ax.set_axis_off()
    return figure, axes


def to_png(figure: Any) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", facecolor="black")
    return stream.getvalue()


def _data_url(figure: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(to_png(figure)).decode()
