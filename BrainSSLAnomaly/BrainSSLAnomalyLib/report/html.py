"""The report: one self-contained page with the findings and how they were made, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.files import write_text
from ..core.results import Detection, Finding, MapName, Segmentation
from ..core.settings import SegmentationSettings, ThresholdMethod
from ..core.version import __version__
from .regions import region_rows
from .tables import findings_csv, regions_csv

MAX_FIGURES = 10
"""Findings with figures; the others are in the table."""


def write_report(
    folder: Path | str,
    detection: Detection,
    segmentation: Segmentation,
    settings: SegmentationSettings,
    rejected: Sequence[Finding] = (),
) -> Path:
    """Write ``report.html``, ``findings.csv`` and ``regions.csv``.

    Args:
        folder: of the results, made if it is not there.
        detection: with the maps that are drawn.
        segmentation: mask and findings, without rejected ones.
        settings: that made the mask.
        rejected: findings that the reader has rejected: in the table only.

    Returns:
        The path of the page.

    Raises:
        OSError: a file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    from .figures import canonical_view, montage, network_maps, three_planes

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    view, regions = canonical_view(detection, segmentation), region_rows(detection, segmentation)
    environment = Environment(
        loader=PackageLoader("BrainSSLAnomalyLib.report"),
        autoescape=select_autoescape(["html", "j2"]),
    )
    environment.filters["in_letters"] = place_in_letters
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
            for f in segmentation.findings[:MAX_FIGURES]
        ],
        total_ml=sum(f.volume_ml for f in segmentation.findings),
        regions=regions,
        settings=_describe(settings),
    )
    everything = sorted([*segmentation.findings, *rejected], key=lambda f: f.number)
    write_text(
        folder / "findings.csv",
        findings_csv(everything, list(detection.zscores), {f.number for f in rejected}),
    )
    write_text(folder / "regions.csv", regions_csv(regions, list(detection.zscores)))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def place_in_letters(ras: tuple[float, float, float]) -> str:
    """Return a place in RAS mm with the letters of its sides.

    Example:
        >>> place_in_letters((-25.0, 22.0, -10.0))
        'L 25, A 22, I 10'
    """
    return ", ".join(
        f"{names[v < 0]} {abs(v):.0f}" for v, names in zip(ras, ("RL", "AP", "SI"), strict=True)
    )


def _describe(settings: SegmentationSettings) -> str:
    t, m = settings.threshold, settings.morphology
    cut = {
        ThresholdMethod.FIXED: f"score of at least {t.threshold:g}",
        ThresholdMethod.HYSTERESIS: f"hysteresis, score of at least {t.threshold:g} within regions "
        f"of at least {t.low:g}",
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
