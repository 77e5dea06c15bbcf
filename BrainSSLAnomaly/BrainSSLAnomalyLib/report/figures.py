"""Figures in the radiological convention: the patient's right on the left, anterior up."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..core.grid import Grid, bounding_box
from ..core.results import Detection, Finding, MapName, Segmentation
from ..core.study import Volume
from .canvas import HEAT, Canvas, Panel
from .heat_maps import HEAT_MAPS

MARGIN_MM = 6.0
"""Around the brain."""

MASK_COLOUR = "#ff4d4d"

PLANES = ("axial", "coronal", "sagittal")
LETTERS = ((("R", "L"), ("A", "P")), (("R", "L"), ("S", "I")), (("P", "A"), ("S", "I")))
"""At left and right, top and bottom of each plane."""

MONTAGE_WIDTH, PLANE_WIDTH, MAP_WIDTH, BAR_WIDTH = 220, 286, 209, 56
"""Of one picture, in pixels."""

VISIBLE_SCORE = 0.05
"""Lower anomaly scores are not drawn over the scan."""


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
    size = plane_mm(view, 0)
    height = round(MONTAGE_WIDTH * size[0] / size[1])
    canvas = Canvas(columns, -(-count // columns), MONTAGE_WIDTH, height)
    panels = [_plane(canvas, n, view, 0, round(float(k))) for n, k in enumerate(chosen)]
    panels[0].letters(*LETTERS[0])
    return _data_url(canvas)


def three_planes(view: CanonicalView, finding: Finding) -> str:
    """Return three planes through the peak of a finding, scan above score, as a data URL."""
    place = view.index(finding.peak_ras)
    height = round(1.1 * PLANE_WIDTH)
    canvas = Canvas(3, 2, PLANE_WIDTH, height, titled_rows=1, right=BAR_WIDTH)
    for axis in range(3):
        top = _plane(canvas, axis, view, axis, place[axis])
        top.cross(*_share(view, axis, place))
        top.letters(*LETTERS[axis])
        top.title(PLANES[axis])
        bottom = _plane(canvas, 3 + axis, view, axis, place[axis], contour=False)
        score = plane_of(view.score, axis, place[axis])
        bottom.overlay(score, (0, 1), visible_from=VISIBLE_SCORE, opacity=0.75)
    left, last_row = canvas.image.width - BAR_WIDTH + 4, canvas.image.height - height
    canvas.colour_bar("anomaly score", left=left, top=last_row, height=height - 24)
    return _data_url(canvas)


def network_maps(view: CanonicalView, finding: Finding) -> str:
    """Return scan, reconstruction and heat maps at the peak of a finding, as a data URL."""
    k = view.index(finding.peak_ras)[0]
    heat_maps = [(name, *HEAT_MAPS[name]) for name in HEAT_MAPS if name in view.maps]
    size = plane_mm(view, 0)
    height = round(MAP_WIDTH * size[0] / size[1])
    canvas = Canvas(2 + len(heat_maps), 1, MAP_WIDTH, height, titled_rows=1)
    first = _plane(canvas, 0, view, 0, k)
    first.title("scan")
    first.letters(*LETTERS[0])
    second = canvas.panel(1, size)
    second.show(plane_of(view.maps[MapName.RECONSTRUCTION], 0, k), view.window)
    second.title("healthy reconstruction")
    for n, (name, title, top) in enumerate(heat_maps, 2):
        panel = canvas.panel(n, size)
        panel.show(plane_of(view.maps[name], 0, k), (0, top), HEAT)
        panel.title(f"{title}, 0 to {top:g}")
    return _data_url(canvas)


def plane_of(array: NDArray, axis: int, n: int) -> NDArray:
    """Return one plane as it is drawn: the patient's right, or posterior, on the left."""
    plane: NDArray = np.moveaxis(array, axis, 0)[n]
    return plane[:, ::-1] if axis < 2 else plane


def plane_mm(view: CanonicalView, axis: int) -> tuple[float, float]:
    """Return height and width of a plane across an axis, in mm."""
    sizes = [n * s for n, s in zip(view.grid.shape, view.grid.spacing, strict=True)]
    height, width = (size for a, size in enumerate(sizes) if a != axis)
    return height, width


def _plane(
    canvas: Canvas, number: int, view: CanonicalView, axis: int, n: int, *, contour: bool = True
) -> Panel:
    """Draw one plane of the scan, and the outline of the mask."""
    panel = canvas.panel(number, plane_mm(view, axis))
    panel.show(plane_of(view.image, axis, n), view.window)
    if contour:
        panel.outline(plane_of(view.mask, axis, n), MASK_COLOUR)
    return panel


def _share(view: CanonicalView, axis: int, place: tuple[int, int, int]) -> tuple[float, float]:
    """Return where a voxel lies in a plane, 0 to 1 from the left and from below."""
    shares = [(p + 0.5) / n for p, n in zip(place, view.image.shape, strict=True)]
    up, across = (share for a, share in enumerate(shares) if a != axis)
    return (1 - across if axis < 2 else across), up


def _data_url(canvas: Canvas) -> str:
    return "data:image/png;base64," + base64.b64encode(canvas.png()).decode()
