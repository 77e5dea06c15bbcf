"""One self-contained page that shows what was found, where, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..core.results import Detection, Finding, MapName, Segmentation
from ..core.settings import SegmentationSettings, ThresholdMethod
from ..imageio import write_text
from .figures import canonical, montage, network_maps, three_planes
from .regions import region_rows
from .tables import findings_csv, regions_csv

PICTURED = 10
"""Findings with pictures; the rest stand in the table."""


def write_report(
    folder: Path,
    detection: Detection,
    segmentation: Segmentation,
    settings: SegmentationSettings,
    rejected: Sequence[Finding] = (),
) -> Path:
    """``report.html``, ``findings.csv`` and ``regions.csv``.

    Args:
        folder: where they go.
        detection, segmentation, settings: what is told of.
        rejected: findings that a reader took out of ``segmentation``: listed as such in the table, left out of the page.

    Returns:
        The path of the page.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    view, regions = canonical(detection, segmentation), region_rows(detection, segmentation)
    environment = Environment(
        loader=PackageLoader("BrainSSLAnomalyLib.report"),
        autoescape=select_autoescape(["html", "j2"]),
    )
    environment.filters["in_letters"] = in_letters
    page = environment.get_template("report.html.j2").render(
        version=__version__,
        detection=detection,
        segmentation=segmentation,
        montage=montage(view),
        pictures=[
            (
                f,
                three_planes(view, f),
                network_maps(view, f) if MapName.RECONSTRUCTION in detection.maps else "",
            )
            for f in segmentation.findings[:PICTURED]
        ],
        total_ml=sum(f.volume_ml for f in segmentation.findings),
        regions=regions,
        settings=_in_words(settings),
    )
    everything = sorted([*segmentation.findings, *rejected], key=lambda f: f.number)
    write_text(
        folder / "findings.csv",
        findings_csv(everything, list(detection.zscores), {f.number for f in rejected}),
    )
    write_text(folder / "regions.csv", regions_csv(regions, list(detection.zscores)))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def in_letters(ras: tuple[float, float, float]) -> str:
    """A place in RAS mm as it is read off a scan: ``L 25, A 22, I 10``."""
    return ", ".join(
        f"{names[v < 0]} {abs(v):.0f}" for v, names in zip(ras, ("RL", "AP", "SI"), strict=True)
    )


def _in_words(settings: SegmentationSettings) -> str:
    t, m = settings.threshold, settings.morphology
    cut = {
        ThresholdMethod.FIXED: f"score of at least {t.threshold:g}",
        ThresholdMethod.HYSTERESIS: f"hysteresis, score of at least {t.threshold:g} within regions of at least {t.low:g}",
        ThresholdMethod.PERCENTILE: f"above the {t.percentile:g}th percentile of the brain",
        ThresholdMethod.ROBUST_Z: f"{t.zscore:g} robust SD above the brain's median",
        ThresholdMethod.OTSU: "Otsu's method",
    }[t.method]
    steps = [
        f"{n} {v:g} mm"
        for n in ("opening", "closing", "dilation", "erosion")
        if (v := getattr(m, f"{n}_mm"))
    ]
    steps += ["holes filled"] if m.fill_holes else []
    return "; ".join([cut, *steps, f"findings of at least {m.min_volume_ml:g} ml"])
