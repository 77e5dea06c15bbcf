"""The page shows what was found, on the right side, and needs no other file."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.anatomy import Region
from BrainSSLAnomalyLib.core.settings import (
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.core.study import Modality, Scan, Volume
from BrainSSLAnomalyLib.report import write_report
from BrainSSLAnomalyLib.report.figures import canonical_view
from BrainSSLAnomalyLib.report.html import place_in_letters
from BrainSSLAnomalyLib.report.regions import region_rows
from BrainSSLAnomalyLib.report.tables import findings_csv, regions_csv
from BrainSSLAnomalyLib.segmentation import segment
from nibabel import orientations
from support.detections import make_detection


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    detection = make_detection()
    detection = replace(
        detection,
        inputs=(
            Scan(
                detection.reference,
                Modality.FLAIR,
                "<script>alert(1)</script>",
                "0" * 64,
                "file name",
            ),
        ),
    )
    folder = tmp_path_factory.mktemp("report")
    write_report(
        folder, detection, segment(detection, SegmentationSettings()), SegmentationSettings()
    )
    assert {p.name for p in folder.iterdir()} == {"report.html", "findings.csv", "regions.csv"}
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file_and_no_network(page):
    assert not re.search(r"""(src|href)=["'](?!data:)""", page) and "http" not in re.sub(
        r"data:image/png;base64,[^\"]*", "", page
    )


def test_the_page_says_what_it_is_and_what_it_found(page):
    for words in (
        "Research use only, not for diagnosis",
        "radiological convention",
        "left frontal lobe, deep white matter",
        "hysteresis",
    ):
        assert words in page


def test_names_of_files_cannot_smuggle_code_into_the_page(page):
    assert "<script>" not in page


def test_a_report_without_findings_says_so(tmp_path):
    detection = make_detection((30, 36, 30), 6.0)
    nothing = SegmentationSettings(ThresholdSettings(ThresholdMethod.FIXED, threshold=1.0))
    write_report(tmp_path, detection, segment(detection, nothing), nothing)
    assert "Nothing passed the threshold" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAR", "PIL"])
def test_pictures_are_upright_whatever_the_order_of_axes(code):
    detection = make_detection()
    turn = orientations.ornt_transform(
        orientations.io_orientation(detection.reference.affine),
        orientations.axcodes2ornt(tuple(code)),
    )

    def turned(array):
        return np.ascontiguousarray(orientations.apply_orientation(array.T, turn).T)

    affine = detection.reference.affine @ orientations.inv_ornt_aff(
        turn, detection.reference.array.shape[::-1]
    )
    other = replace(
        detection,
        reference=Volume(turned(detection.reference.array), affine),
        anomaly_score=turned(detection.anomaly_score),
        brain_mask=turned(detection.brain_mask),
        zscores={m: turned(z) for m, z in detection.zscores.items()},
        anatomy=replace(
            detection.anatomy,
            regions=turned(detection.anatomy.regions),
            zones=turned(detection.anatomy.zones),
        ),
    )
    found = segment(other, SegmentationSettings())
    view = canonical_view(other, found)
    assert (np.diag(view.grid.affine)[:3] > 0).all()
    assert np.abs(view.grid.affine[:3, :3] - np.diag(np.diag(view.grid.affine)[:3])).max() < 1e-9
    k, j, i = view.index((-24.0, 30.0, 15.0))
    assert view.mask[k, j, i] and not view.mask[k, j, view.mask.shape[2] - 1 - i]


def test_the_table_is_read_by_other_programs(detection):
    found = segment(detection, SegmentationSettings())
    rows = list(csv.DictReader(io.StringIO(findings_csv(found.findings, list(detection.zscores)))))
    assert len(rows) == len(found.findings) == 1
    assert float(rows[0]["centroid_r_mm"]) == pytest.approx(-24, abs=1.5)
    assert float(rows[0]["zscore_flair"]) > 5 and rows[0]["place"].startswith("left frontal")
    assert rows[0]["review"] == "accepted"
    again = csv.DictReader(io.StringIO(findings_csv(found.findings, list(detection.zscores), {1})))
    assert [row["review"] for row in again] == ["rejected"]


def test_every_region_has_the_scores_of_its_own_voxels(detection):
    found = segment(detection, SegmentationSettings())
    rows = {r.region: r for r in region_rows(detection, found)}
    codes = detection.anatomy.regions
    assert set(rows) == {Region(c) for c in np.unique(codes)} - {Region.OUTSIDE}
    for region, row in rows.items():
        score = detection.anomaly_score[codes == region]
        assert row.volume_ml == pytest.approx((codes == region).sum() * 0.027)
        assert row.mean_score == pytest.approx(
            score.mean(), rel=1e-5
        ) and row.high_score == pytest.approx(np.percentile(score, 99))
        assert row.marked_ml == pytest.approx((found.mask & (codes == region)).sum() * 0.027)
        z = detection.zscores[Modality.T1][codes == region]
        assert row.zscores[Modality.T1] == pytest.approx(np.median(z))
    assert sum(r.marked_ml for r in rows.values()) == pytest.approx(
        sum(f.volume_ml for f in found.findings)
    )


def test_the_region_with_the_lesion_comes_first_in_table_and_page(detection, tmp_path):
    found = segment(detection, SegmentationSettings())
    rows = list(
        csv.DictReader(
            io.StringIO(regions_csv(region_rows(detection, found), list(detection.zscores)))
        )
    )
    assert (
        rows[0]["region"] == "left frontal lobe"
        and float(rows[0]["marked_ml"]) > 1
        and float(rows[0]["score_0.1_ml_reaches"]) > 0.9
    )
    assert rows[1]["region"] != "left frontal lobe" and float(rows[1]["marked_ml"]) == 0
    assert (
        float(rows[0]["mean_score"]) < float(rows[0]["p99_score"]) <= 1
        and abs(float(rows[1]["median_zscore_flair"])) < 0.5
    )
    page = write_report(tmp_path, detection, found, SegmentationSettings()).read_text(
        encoding="utf-8"
    )
    assert (tmp_path / "regions.csv").read_text().splitlines()[1].startswith("left frontal lobe,")
    assert (
        "by the score that 0.1 ml reach: left frontal lobe 0.9" in page
        and "<details><summary>All 4 regions" in page
    )


def test_a_region_too_small_to_tell_is_listed_without_the_score_that_it_reaches(detection):
    regions = detection.anatomy.regions.copy()
    regions[tuple(np.argwhere(regions == Region.LEFT_FRONTAL)[0])] = Region.LEFT_AMYGDALA
    other = replace(detection, anatomy=replace(detection.anatomy, regions=regions))
    rows = region_rows(other, segment(other, SegmentationSettings()))
    assert rows[-1].region is Region.LEFT_AMYGDALA and rows[-1].reached_score is None
    assert ",,0.0000," in regions_csv(rows, list(other.zscores)).splitlines()[-1]


def test_places_are_written_as_they_are_read_off_a_scan():
    assert place_in_letters((-25.2, 22.0, -10.4)) == "L 25, A 22, I 10"
