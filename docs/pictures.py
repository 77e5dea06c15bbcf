"""Make the pictures of README and user guide anew: ``make pictures``.

``report.jpg`` holds the figures of the demo's report, as they are in the page, one below the other.
The views of Slicer are rendered by ``support.slicer.rendered_views``, the panel by its own tests.
"""

from __future__ import annotations

import base64
import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

WIDTH = 1000
GAP = 8
"""Pixels of the picture, and of the white between two figures."""

FIGURES = 3
"""Overview, three planes through finding 1, and the maps of the network there."""

QUALITY = 85


def stack_figures(page: Path) -> Image.Image:
    """Return the first figures of a report, one below the other."""
    text = page.read_text(encoding="utf-8")
    urls = re.findall(r'src="data:image/png;base64,([^"]+)"', text)[:FIGURES]
    figures = [Image.open(io.BytesIO(base64.b64decode(url))).convert("RGB") for url in urls]
    scaled = [f.resize((WIDTH, round(f.height * WIDTH / f.width))) for f in figures]
    height = sum(f.height for f in scaled) + GAP * (len(scaled) - 1)
    picture = Image.new("RGB", (WIDTH, height), "white")
    top = 0
    for figure in scaled:
        picture.paste(figure, (0, top))
        top += figure.height + GAP
    return picture


def main() -> None:
    """Write ``docs/images`` from a folder of the demo, one of views, and one of the panel."""
    demo, views, panel = map(Path, sys.argv[1:4])
    images = Path(__file__).parent / "images"
    save(stack_figures(demo / "report.html"), images / "report.jpg")
    save(Image.open(views / "views.png").convert("RGB"), images / "slicer_views.jpg")
    shutil.copy(panel / "10_finding_explained.png", images / "slicer_panel.png")


def save(picture: Image.Image, path: Path) -> None:
    """Save a picture as JPEG, which keeps the repository small."""
    picture.save(path, quality=QUALITY, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
