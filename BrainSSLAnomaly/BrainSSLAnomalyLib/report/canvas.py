"""Pictures beside each other on black, with outlines, letters and titles; drawn with Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Plane = NDArray[np.floating] | NDArray[np.bool_]
"""Rows from below to above, columns from left to right."""

GAP = 4
"""Pixels between pictures."""

TITLE_HEIGHT = 17
"""Pixels above a picture that its title takes."""

SHARPNESS = 3
"""Outlines are drawn at this multiple of the picture's pixels and then reduced."""

TITLE, LETTER, TICK, CROSS = "#bbbbbb", "#ffd966", "#dddddd", "#66ccff"
TITLE_SIZE, LETTER_SIZE, TICK_SIZE = 11, 14, 10
"""In pixels."""

PNG_LEVEL = 4
"""Of compression: higher levels save little on scans."""

GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
"""Level 0–255 → red, green and blue."""

_INFERNO = (
    "000004 08051d 180c3c 2b0b57 420a68 57106e 6a176e 7f1e6c 932667 a82e5f bc3754 cc4248 dd513a "
    "ea632a f3761b f98c0a fca50a fbbe23 f6d746 f1ed71 fcffa4"
)
"""Colours at equal steps of inferno (S. van der Walt and N. Smith, CC0)."""


def _ramp(colours: str) -> NDArray[np.uint8]:
    rgb = np.array([list(bytes.fromhex(c)) for c in colours.split()], float)
    steps = np.linspace(0, 255, len(rgb))
    channels = [np.interp(np.arange(256), steps, channel) for channel in rgb.T]
    ramp: NDArray[np.uint8] = np.stack(channels, 1).round().astype(np.uint8)
    return ramp


HEAT = _ramp(_INFERNO)
"""Level 0–255 → black, violet, orange, yellow."""


class Canvas:
    """Hold pictures in rows and columns on black.

    Args:
        columns: number of them.
        rows: number of them.
        width: of one picture, in pixels.
        height: of one picture, in pixels.
        titled_rows: how many rows, from the top, have a title above each picture.
        right: pixels kept free at the right, for a colour bar.
    """

    def __init__(
        self,
        columns: int,
        rows: int,
        width: int,
        height: int,
        *,
        titled_rows: int = 0,
        right: int = 0,
    ) -> None:
        self._columns, self._width, self._height = columns, width, height
        self._titled_rows = titled_rows
        total = (width + GAP) * columns + GAP + right
        self.image = Image.new(
            "RGB", (total, (height + GAP) * rows + GAP + TITLE_HEIGHT * titled_rows)
        )

    def panel(self, number: int, shape_mm: tuple[float, float]) -> Panel:
        """Return the place of a picture, numbered row by row.

        Args:
            number: from 0.
            shape_mm: height and width of what will be shown; it fits into the middle of its cell.
        """
        row, column = divmod(number, self._columns)
        scale = min(self._height / shape_mm[0], self._width / shape_mm[1])
        height, width = (max(1, round(scale * size)) for size in shape_mm)
        left = GAP + column * (self._width + GAP) + (self._width - width) // 2
        above = TITLE_HEIGHT * min(row + 1, self._titled_rows)
        top = GAP + above + row * (self._height + GAP) + (self._height - height) // 2
        return Panel(self.image, left, top, width, height)

    def colour_bar(self, label: str, *, left: int, top: int, height: int) -> None:
        """Draw the colours of `HEAT` from 0 to 1 with their label."""
        levels = np.linspace(255, 0, height).astype(np.uint8)
        bar = np.repeat(HEAT[levels][:, None], 10, axis=1)
        self.image.paste(Image.fromarray(bar), (left, top))
        draw = ImageDraw.Draw(self.image)
        for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            y = top + round((1 - tick) * (height - 1))
            draw.line([(left + 10, y), (left + 13, y)], fill=TICK)
            draw.text((left + 17, y), f"{tick:.1f}", TICK, font(TICK_SIZE), anchor="lm")
        length = round(font(TICK_SIZE).getlength(label)) + 2
        words = Image.new("RGB", (length, TICK_SIZE + 4))
        ImageDraw.Draw(words).text((1, 1), label, TICK, font(TICK_SIZE))
        turned = words.transpose(Image.Transpose.ROTATE_90)
        self.image.paste(turned, (left + 36, top + (height - length) // 2))

    def png(self) -> bytes:
        """Return the bytes of a PNG file."""
        stream = io.BytesIO()
        self.image.save(stream, "png", compress_level=PNG_LEVEL)
        return stream.getvalue()


@dataclass(frozen=True)
class Panel:
    """Draw into the place of one picture.

    Attributes:
        image: the whole canvas.
        left, top, width, height: of the picture, in pixels.
    """

    image: Image.Image
    left: int
    top: int
    width: int
    height: int

    def show(
        self, plane: Plane, window: tuple[float, float], colours: NDArray[np.uint8] = GREY
    ) -> None:
        """Draw a plane, interpolated.

        Args:
            plane: (rows, columns).
            window: values drawn in the first and in the last colour.
            colours: (256, 3).
        """
        levels = _enlarged(_levels(plane, window), self._size, Image.Resampling.BICUBIC)
        self.image.paste(Image.fromarray(colours[levels]), (self.left, self.top))

    def overlay(
        self, plane: Plane, window: tuple[float, float], *, visible_from: float, opacity: float
    ) -> None:
        """Draw a plane in the colours of `HEAT` over what is there, voxel by voxel."""
        levels = _enlarged(_levels(plane, window), self._size, Image.Resampling.NEAREST)
        shown = np.where(plane >= visible_from, round(255 * opacity), 0).astype(np.uint8)
        alpha = _enlarged(shown, self._size, Image.Resampling.NEAREST)
        place = (self.left, self.top)
        self.image.paste(Image.fromarray(HEAT[levels]), place, Image.fromarray(alpha))

    def outline(self, mask: NDArray[np.bool_], colour: str) -> None:
        """Draw the edge of a mask."""
        if not mask.any():
            return
        size = (SHARPNESS * self.width, SHARPNESS * self.height)
        filled = mask.astype(np.uint8) * np.uint8(255)
        inside = _enlarged(filled, size, Image.Resampling.BILINEAR) > 127
        line = Image.fromarray(_edge(inside).astype(np.uint8) * np.uint8(255)).reduce(SHARPNESS)
        self.image.paste(colour, (self.left, self.top), line)

    def title(self, words: str) -> None:
        """Write a title above the picture."""
        place = (self.left + self.width / 2, self.top - 4)
        self._draw.text(place, words, TITLE, font(TITLE_SIZE), anchor="ms")

    def letters(self, across: tuple[str, str], along: tuple[str, str]) -> None:
        """Write the sides of the patient at left and right, top and bottom of the picture."""
        for x, y, letter in (
            (0.04, 0.5, across[0]),
            (0.96, 0.5, across[1]),
            (0.5, 0.05, along[0]),
            (0.5, 0.95, along[1]),
        ):
            centre, middle = self.left + x * self.width, self.top + y * self.height
            for dx, rim in ((0, 1), (1, 0)):  # twice, since the font has no bold letters
                self._draw.text(
                    (centre + dx, middle),
                    letter,
                    LETTER,
                    font(LETTER_SIZE),
                    anchor="mm",
                    stroke_width=rim,
                    stroke_fill="black",
                )

    def cross(self, across: float, up: float) -> None:
        """Draw a cross of thin lines at a place from 0 to 1, counted from the left and below."""
        x, y = self.left + round(across * self.width), self.top + round((1 - up) * self.height)
        right, bottom = self.left + self.width - 1, self.top + self.height - 1
        line = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(line)
        draw.line([(self.left, y), (right, y)], fill=110)
        draw.line([(x, self.top), (x, bottom)], fill=110)
        self.image.paste(CROSS, (0, 0), line)

    @property
    def _size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def _draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image)


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, so that figures look the same on every machine.

    It has the letters of Latin-1: no en dash, for example.
    """
    return ImageFont.load_default(size)


def _levels(plane: Plane, window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    share = (np.asarray(plane, np.float32) - low) / max(high - low, 1e-12)
    levels: NDArray[np.uint8] = (np.clip(share, 0, 1) * 255).round().astype(np.uint8)
    return levels


def _enlarged(
    levels: NDArray[np.uint8], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.uint8]:
    """Return a plane as rows from above to below, in a size of (width, height) pixels."""
    upright = Image.fromarray(np.ascontiguousarray(levels[::-1]))
    return np.asarray(upright.resize(size, how))


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels less than two pixels from the edge of a mask, on either side."""
    near = np.pad(inside, 2, mode="edge")
    (rows, columns), shifts = inside.shape, ((2, 2), (0, 2), (4, 2), (2, 0), (2, 4))
    parts = [near[a : a + rows, b : b + columns] for a, b in shifts]
    edge: NDArray[np.bool_] = np.logical_or.reduce(parts) & ~np.logical_and.reduce(parts)
    return edge
