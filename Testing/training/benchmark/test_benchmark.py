"""Figures of the benchmark on masks with known answers, and the page of tables made from them."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from BrainSSLAnomalyLib.core.errors import BadResults
from BrainSSLAnomalyLib.core.settings import DetectionSettings, DetectorName
from scipy import ndimage
from support.detections import make_detection

from training.benchmark import __main__ as command
from training.benchmark import measures
from training.benchmark.lesionwise import LesionWise, count_lesions, pool_counts
from training.benchmark.measures import Measured
from training.benchmark.results import Results, read, write
from training.benchmark.summary import auroc, bootstrap_interval, summarise_groups, summarise_scans
from training.benchmark.tables import (
    END,
    START,
    case_table,
    format_page,
    group_table,
    replace_between_markers,
    rewrite,
    scan_table,
    size_table,
)
from training.benchmark.tables import main as tables

needs_sklearn = pytest.mark.skipif(
    find_spec("sklearn") is None,
    reason="needs scikit-learn: pip install 'brain-ssl-anomaly[training]'",
)


def masks(*found_and_truth: str):
    """Two masks from pictures of one row of voxels: ``#`` is marked."""
    return [np.array([c == "#" for c in picture]).reshape(1, 1, -1) for picture in found_and_truth]


def made(
    case="a",
    group="ms",
    contrasts="FLAIR",
    detector="statistical",
    dice=0.5,
    score=0.9,
    found=1.0,
    counts=(2, 1, 3, 2),
    **other,
):
    """A row; a healthy one where ``dice`` is None."""
    ill, nan = dice is not None, math.nan
    counted = LesionWise(*counts) if ill else LesionWise(0, 0, counts[2], 0)
    figures = (
        {"dice": dice, "best_dice": 0.75, "average_precision": 0.6}
        if ill
        else dict.fromkeys(("dice", "best_dice", "average_precision"), nan)
    )
    row = Measured(
        case=case,
        group=group,
        contrasts=contrasts,
        detector=detector,
        used=detector,
        lesion_ml=2.0 if ill else 0.0,
        found_ml=found,
        lesionwise={"all": counted, "small": counted, "large": LesionWise(0, 0, 0, 0)},
        outside_ml=0.0,
        findings=counts[2],
        scan_score=score,
        p_value=nan,
        seconds=1.25,
        peak_gb=0.5,
        **figures,
    )
    return replace(row, **other)


def healthy(case="h", score=0.1, found=0.0, **other):
    return made(case, other.pop("group", "healthy"), dice=None, score=score, found=found, **other)


def line(table: str, *start: str) -> list[str]:
    """The cells of the one line that starts with these."""
    lines = [[c.strip() for c in text.strip("|").split("|")] for text in table.splitlines()]
    (found,) = (cells for cells in lines if cells[: len(start)] == list(start))
    return found


# Lesions


def test_one_voxel_of_overlap_detects_a_lesion():
    counts = count_lesions(*masks("##....#..##.", ".###..#.#..."), 0.01)["all"]
    assert counts == LesionWise(lesions=3, detected=2, regions=3, correct=2)
    assert (counts.sensitivity, counts.precision, counts.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))


def test_a_region_that_joins_two_lesions_has_detected_both():
    assert count_lesions(*masks("#####", "#...#"), 0.01)["all"] == LesionWise(2, 2, 1, 1)
    assert count_lesions(*masks("#...#", "#####"), 0.01)["all"] == LesionWise(1, 1, 2, 2)


def test_voxels_that_share_a_corner_are_one_lesion():
    truth = np.zeros((2, 2, 2), bool)
    truth[0, 0, 0] = truth[1, 1, 1] = True
    assert count_lesions(truth, truth, 0.01)["all"] == LesionWise(1, 1, 1, 1)


def test_sizes_are_those_of_the_lesions_of_the_truth_and_of_the_regions_of_the_mask():
    sizes = count_lesions(*masks("#.###.#..", "###.#...#"), 0.05)
    assert sizes["small"] == LesionWise(lesions=2, detected=1, regions=2, correct=1)
    assert sizes["large"] == LesionWise(lesions=1, detected=1, regions=1, correct=1)
    assert pool_counts((sizes["small"], sizes["large"])) == sizes["all"]


def test_nothing_found_is_no_sensitivity_and_nothing_to_find_is_no_figure():
    nothing = count_lesions(*masks("....", ".#.#"), 0.01)["all"]
    assert (nothing.sensitivity, nothing.f1) == (0, 0) and math.isnan(nothing.precision)
    well = count_lesions(*masks(".#..", "...."), 0.01)["all"]
    assert well.precision == 0 and math.isnan(well.sensitivity) and math.isnan(well.f1)


def test_panoptica_counts_the_same_lesions_where_none_are_joined():
    panoptica = pytest.importorskip(
        "panoptica",
        reason="panoptica wants older NumPy and pandas: it has an environment of its own",
    )
    rng = np.random.default_rng(0)
    found, truth = np.zeros((2, 40, 40, 40), bool)
    for corner in np.ndindex(4, 4, 4):
        for mask in (found, truth):
            place = np.array(corner) * 10 + rng.integers(1, 4, 3)
            mask[
                tuple(slice(p, p + n) for p, n in zip(place, rng.integers(1, 6, 3), strict=True))
            ] = rng.random() < 0.6
    matcher = panoptica.NaiveThresholdMatching(matching_threshold=1e-6)
    kind = panoptica.InputType.SEMANTIC
    theirs = panoptica.Panoptica_Evaluator(
        kind, panoptica.ConnectedComponentsInstanceApproximator(), matcher
    ).evaluate(found.astype(np.uint8), truth.astype(np.uint8))["ungrouped"]
    ours = count_lesions(found, truth, 0.01)["all"]
    assert 5 < ours.detected < ours.lesions and ours.correct < ours.regions
    assert (theirs.tp, theirs.fn, theirs.fp) == (
        ours.detected,
        ours.lesions - ours.detected,
        ours.regions - ours.correct,
    )
    assert theirs.rq == pytest.approx(ours.f1)


# One case


@pytest.fixture
def patient(detection):
    """A case whose truth is the bright sphere of the made detection."""
    lesion = detection.anomaly_score > 0.9
    return SimpleNamespace(
        name="made", group="ms", contrasts="FLAIR", study=lambda: None, lesion=lambda: lesion
    )


@needs_sklearn
def test_a_case_is_measured_with_its_detector(monkeypatch, patient):
    monkeypatch.setattr(measures, "detect", lambda study, settings: make_detection())
    row = measures.try_measure((patient, DetectionSettings(detector=DetectorName.AUTO)))
    assert isinstance(row, Measured)
    assert (row.detector, row.used) == ("auto", "statistical")
    assert (
        row.dice == pytest.approx(1)
        and row.lesionwise["all"] == LesionWise(1, 1, 1, 1)
        and not row.healthy
    )


def test_a_case_that_fails_is_a_sentence(monkeypatch, patient):
    def fail(study, settings):
        raise ValueError("no brain")

    monkeypatch.setattr(measures, "detect", fail)
    words = measures.try_measure((patient, DetectionSettings(detector=DetectorName.HYBRID)))
    assert words == "made (FLAIR, hybrid): ValueError, no brain"


# Groups


def test_the_interval_of_three_patients_is_known_and_the_same_every_time():
    assert bootstrap_interval([0, 0, 1]) == (
        0,
        1,
    )  # all three drawn alike: 8 and 1 of 27, both more than 2.5 %
    assert bootstrap_interval([0.5] * 4) == (0.5, 0.5)
    values = list(np.linspace(0, 1, 11))
    low, high = bootstrap_interval(values)
    assert 0 < low < 0.5 < high < 1 and bootstrap_interval(values) == (low, high)


def test_fewer_than_three_patients_have_no_interval():
    assert bootstrap_interval([0.2, 0.4]) is None
    assert line(group_table([made(dice=0.2), made("b", dice=0.4)]), "ms")[3:5] == ["2", "0.30"]


@needs_sklearn
def test_auroc_is_the_share_of_pairs_in_the_right_order():
    assert auroc([0.9, 0.8], [0.1]) == 1
    assert auroc([0.9, 0.2], [0.5]) == 0.5
    assert auroc([0.5], [0.5]) == 0.5
    assert math.isnan(auroc([0.9], [])) and math.isnan(auroc([], [0.1]))


def test_groups_are_kept_apart_by_detector_and_by_modalities():
    rows = [
        made(dice=d, detector=n, contrasts=c)
        for c, s in (("FLAIR", 0), ("T1", 0.3))
        for n, d in (("statistical", 0.6 - s), ("hybrid", 0.7 - s))
    ]
    found = {(g.contrasts, g.detector): g.dice for g in summarise_groups(rows)}
    assert found == pytest.approx(
        {
            ("FLAIR", "statistical"): 0.6,
            ("FLAIR", "hybrid"): 0.7,
            ("T1", "statistical"): 0.3,
            ("T1", "hybrid"): 0.4,
        }
    )


def test_several_groups_are_put_together_too_and_healthy_people_have_false_positives_only():
    rows = [
        made(dice=0.4),
        made("b", "wml", dice=0.8),
        *(healthy(str(n), found=ml) for n, ml in enumerate((0.0, 0.5, 4.0))),
    ]
    found = {g.group: g for g in summarise_groups(rows)}
    assert list(found) == ["ms", "wml", "all patients", "healthy"]
    assert found["all patients"].dice == pytest.approx(0.6) and math.isnan(
        found["all patients"].false_positive_ml
    )
    assert (
        found["healthy"].false_positive_ml == 0.5
        and found["healthy"].n == 3
        and math.isnan(found["healthy"].dice)
    )
    assert found["healthy"].dice_interval is None


@needs_sklearn
def test_patients_are_held_against_healthy_people_with_the_same_modalities_and_detector():
    rows = [
        made(score=0.9),
        made("b", score=0.3),
        healthy(score=0.5),
        healthy(score=0.0, contrasts="T1"),
        made(detector="hybrid"),
    ]
    found = {(s.contrasts, s.detector): s for s in summarise_scans(rows)}
    assert (
        found["FLAIR", "statistical"].auroc == 0.5 and found["FLAIR", "statistical"].patients == 2
    )
    assert math.isnan(found["T1", "statistical"].auroc) and math.isnan(
        found["FLAIR", "hybrid"].auroc
    )


# Tables


def test_the_table_of_cases_has_a_line_for_every_detector():
    table = case_table([made(), made(detector="auto", used="hybrid"), healthy(found=0.25)])
    assert line(table, "a", "FLAIR", "statistical")[3:12] == [
        "2.00",
        "1.00",
        "0.50",
        "0.75",
        "0.60",
        "2",
        "0.50",
        "0.67",
        "0.57",
    ]
    assert line(table, "a", "FLAIR", "auto: hybrid")
    assert line(table, "h")[4:12] == ["0.25", *["–"] * 7]


def test_the_table_of_sizes_counts_the_lesions_of_a_group_together():
    table = size_table([made(counts=(4, 1, 2, 1)), made("b", counts=(1, 1, 2, 2)), healthy()])
    assert line(table, "ms", "FLAIR", "statistical", "below 0.1 ml")[4:] == [
        "5",
        "0.40",
        "4",
        "0.75",
        "0.52",
    ]
    assert line(table, "ms", "FLAIR", "statistical", "from 0.1 ml")[4:] == ["0", "–", "0", "–", "–"]


@needs_sklearn
def test_the_page_says_how_often_the_set_was_evaluated_and_what_could_not_be_measured():
    results = Results((made(), healthy()), ("x (T2, hybrid): ValueError, two\nlines",), 5)
    body = format_page(results)
    assert "evaluated 5 times" in body and "* x (T2, hybrid): ValueError, two lines\n" in body
    assert line(scan_table(results.rows), "FLAIR")[2:] == ["1", "1", "1.00"]
    assert "evaluated once" in format_page(results, 1) and "unrecorded" in format_page(
        replace(results, evaluations=None)
    )


# Files


def test_results_are_read_as_they_were_written(tmp_path):
    results = Results((made(), healthy()), ("failed",), 4, "0.1.0", "2026-01-01", "atlas")
    write(tmp_path / "new" / "benchmark.json", results)
    again = read(tmp_path / "new" / "benchmark.json")
    assert again.rows[0] == replace(results.rows[0], p_value=again.rows[0].p_value) and math.isnan(
        again.rows[0].p_value
    )
    assert again.rows[1].healthy and math.isnan(again.rows[1].dice)
    assert replace(again, rows=()) == replace(results, rows=())
    plain = json.loads(
        (tmp_path / "new" / "benchmark.json").read_text(), parse_constant=pytest.fail
    )
    assert (
        plain["rows"][0]["lesionwise"]["all"]["sensitivity"] == 0.5
        and plain["rows"][0]["p_value"] is None
    )


@pytest.mark.parametrize(
    "text", ("", "[]", "{}", '{"format": 0}', '{"format": 1, "rows": [{}], "failed": []}')
)
def test_anything_else_is_refused_as_results(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(BadResults):
        read(tmp_path / "other.json")


def test_what_stands_around_the_markers_stays():
    text = f"# Head\n\n{START}\nold\n{END}\n\nTail, kept.  \n"
    once = replace_between_markers(text, "new")
    assert once == f"# Head\n\n{START}\n\nnew\n\n{END}\n\nTail, kept.  \n"
    assert replace_between_markers(once, "new") == once


@pytest.mark.parametrize(
    "text",
    (
        "",
        START,
        END,
        f"{END}{START}",
        f"{START}{START}{END}",
        f"{START}{END}{START}{END}",
        f"{END}{START}{END}",
    ),
)
def test_a_page_without_exactly_one_pair_of_markers_is_refused_and_left_alone(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BadResults):
        rewrite(page, "new")
    assert page.read_text() == text and [p.name for p in tmp_path.iterdir()] == ["page.md"]


@needs_sklearn
def test_the_command_makes_the_page_and_then_changes_its_tables_alone(tmp_path):
    page, file = tmp_path / "evaluation.md", tmp_path / "benchmark.json"
    write(file, Results((made(), healthy()), evaluations=5))
    tables(file, page)
    assert page.read_text().startswith("# Evaluation") and "evaluated 5 times" in page.read_text()
    page.write_text(page.read_text() + "\nA note by hand.\n")
    tables(file, page, evaluations=6)
    assert (
        "evaluated 6 times" in page.read_text()
        and page.read_text().endswith("A note by hand.\n")
        and page.read_text().count("## Cases") == 1
    )


@needs_sklearn
def test_several_detectors_see_each_case_in_one_run(monkeypatch, tmp_path):
    def attempt(job):
        case, settings = job
        return "c failed" if case.name == "c" else made(case.name, detector=settings.detector.value)

    here = SimpleNamespace(Pool=lambda *_, **__: nullcontext(SimpleNamespace(imap=map)))
    monkeypatch.setattr(
        command, "patients", lambda everything: [SimpleNamespace(name=n) for n in "abc"]
    )
    monkeypatch.setattr(command, "healthy", lambda: [])
    monkeypatch.setattr(command, "try_measure", attempt)
    monkeypatch.setattr(command.multiprocessing, "get_context", lambda _: here)
    with pytest.raises(typer.Exit):
        command.main(
            detector=[DetectorName.STATISTICAL, DetectorName.HYBRID, DetectorName.HYBRID],
            evaluations=5,
            output=tmp_path / "b.json",
        )
    results = read(tmp_path / "b.json")
    assert [(m.case, m.detector) for m in results.rows] == [
        (c, d) for c in "ab" for d in ("statistical", "hybrid")
    ]
    assert (
        results.failed == ("c failed",) * 2
        and results.evaluations == 5
        and results.anatomy == "network"
    )


def test_ablation_shows_precision_and_dice_of_patients_and_millilitres_of_healthy_people():
    ablation = pytest.importorskip(
        "training.benchmark.ablation",
        reason="needs torch: pip install 'brain-ssl-anomaly[training]'",
    )
    nan, figures = math.nan, ablation.Figures
    ill = [
        ("FLAIR, synthetic", name, figures(0.25, dice, nan))
        for name, dice in ((ablation.FUSED, 0.5), ("l1", 0.125))
    ]
    well = [
        ("FLAIR, synthetic healthy", name, figures(nan, nan, ml))
        for name, ml in ((ablation.FUSED, 0.5), ("l1", 4.0))
    ]
    table = ablation.format_table([*well, *ill])
    assert (
        table.splitlines()[0]
        == "| score | FLAIR, synthetic (n = 1) | FLAIR, synthetic healthy (n = 1) |"
    )
    assert line(table, "l1") == ["l1", "0.25 / 0.12", "4.00 ml"]
    assert line(table, ablation.FUSED) == [ablation.FUSED, "0.25 / 0.50", "0.50 ml"]


def test_table_of_kinds_names_the_one_never_trained_on():
    kinds = pytest.importorskip(
        "training.benchmark.kinds", reason="needs torch: pip install 'brain-ssl-anomaly[training]'"
    )
    figures = {(m, name): 0.25 for m in kinds.MODALITIES for name in ("logit", "error")}
    table = kinds.format_table({"shifted": figures, "foreign": figures}, ("foreign",))
    assert line(table, "**foreign**, never trained on")[1:] == ["0.25 / 0.25"] * 3
    assert line(table, "shifted")[1:] == ["0.25 / 0.25"] * 3


def test_a_lower_level_within_the_lesion_is_worth_more_than_one_below_all_of_the_brain(monkeypatch):
    synthetic = pytest.importorskip(
        "training.benchmark.synthetic",
        reason="needs torch: pip install 'brain-ssl-anomaly[training]'",
    )
    found = make_detection()
    lesion = found.reference.with_array((found.anomaly_score > 0.5).astype(np.float32))
    halo = np.clip(ndimage.gaussian_filter(lesion.array, 2) * 2, 0, 0.35) * found.brain_mask
    monkeypatch.setattr(
        synthetic,
        "detect",
        lambda study, settings: replace(found, anomaly_score=np.maximum(found.anomaly_score, halo)),
    )
    dice = dict(
        zip(
            synthetic.CUTS,
            synthetic.measure_cuts("a study", lesion, DetectorName.AUTO),
            strict=True,
        )
    )
    assert dice[0.7, 0.2] < dice[0.7, 0.3] < dice[0.7, 0.4] == 1.0
    ml = dict(
        zip(synthetic.CUTS, synthetic.measure_cuts("a study", None, DetectorName.AUTO), strict=True)
    )
    assert (
        ml[0.7, 0.4] == pytest.approx(lesion.array.sum() * lesion.voxel_ml)
        and ml[0.7, 0.2] > ml[0.7, 0.4]
    )


def test_thresholds_table_keeps_dice_of_patients_and_millilitres_of_healthy_people_apart():
    synthetic = pytest.importorskip(
        "training.benchmark.synthetic",
        reason="needs torch: pip install 'brain-ssl-anomaly[training]'",
    )
    n = len(synthetic.CUTS)
    first, *others = synthetic.format_table(
        "patient", "flair", [[0.5] * n, [0.75] * n], [[0.0] * n, [1.0] * n, [0.25] * n]
    ).splitlines()
    assert (
        first == "| patient | flair | 0.5 over 0.1 | 0.625 (n 2) | 0.25, 1.00 (n 3) |"
        and len(others) == n - 1
    )
    assert "nan" in synthetic.format_table("implanted", "t1", [[0.5] * n], []).splitlines()[0]
