"""What the command line prints: progress, warnings, findings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.progress import Progress
from ..core.results import Segmentation
from ..core.version import __version__
from . import interrupt

MAX_LISTED = 10
"""Findings that are printed; the others are in the report."""


def printer(*, is_quiet: bool) -> Callable[[str], None]:
    """Return a function that prints a sentence, or does nothing."""
    return (lambda _: None) if is_quiet else print


@contextmanager
def progress_bar(*, is_quiet: bool) -> Iterator[Progress]:
    """Yield a progress callback that draws a bar where somebody is watching.

    The callback raises `Cancelled` after Ctrl-C.
    """
    if is_quiet or not sys.stderr.isatty():
        yield lambda stage, fraction: interrupt.raise_if_pressed()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=1.0)

        def report(stage: str, fraction: float) -> None:
            interrupt.raise_if_pressed()
            bar.update(task, description=stage, completed=fraction)

        yield report


def print_result(
    folder: Path, segmentation: Segmentation, *, is_quiet: bool, as_json: bool
) -> None:
    """Print findings and the path of the report: as text, as one JSON object, or the path alone."""
    page = (folder / "report.html").resolve()
    if as_json:
        total_ml = sum(f.volume_ml for f in segmentation.findings)
        content = {
            "version": __version__,
            "folder": str(folder.resolve()),
            "report": str(page),
            "findings": len(segmentation.findings),
            "total_volume_ml": round(total_ml, 4),
            "scan_score": round(segmentation.scan_score, 4),
        }
        print(json.dumps(content))
    elif is_quiet:
        print(page)
    else:
        for f in segmentation.findings[:MAX_LISTED]:
            deviation = f.deviations[0].words
            volume, score = f"{f.volume_ml:.2f} ml", f"score {f.peak_score:.3f}"
            print(f"{f.number:3d}. {f.place}, {volume}, {score}, {deviation}")
        count = len(segmentation.findings)
        rest = f"and {count - MAX_LISTED} more; " if count > MAX_LISTED else ""
        noun = "finding" if count == 1 else "findings"
        print(f"{rest}{count} {noun}. Research use only, not for diagnosis.")
        print(f"Report: {page}")
