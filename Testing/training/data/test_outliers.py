"""Training scans that stand out are named by a known rule, and left out of a new archive."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.packages import need_network

need_network()

from BrainSSLAnomalyLib.core.study import Modality
from support.phantoms import phantom

from training.data import heads, outliers


def scan(number: int, value: float, other: float = 0.0) -> outliers.ScanScores:
    return outliers.ScanScores(
        f"head {number}",
        f"print {number}",
        {"logit": value, "l1": other, "mahalanobis": 1.0 + 0.1 * number},
    )


def some_heads(count: int = 4):
    rng = np.random.default_rng(0)
    return [
        heads.Head(rng.random((1, 6, 7, 8)).astype(np.float32), np.full((6, 7, 8), n, np.uint8))
        for n in range(count)
    ]


def test_modified_z_is_that_of_iglewicz_and_hoaglin():
    z = outliers.modified_z(
        [2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3]
    )  # median 2.45, MAD 0.15
    assert (
        z[-2:].tolist() == pytest.approx([0.6745 * 5.75 / 0.15, 0.6745 * 5.85 / 0.15])
        and np.abs(z[:-2]).max() < outliers.LARGEST_Z
    )
    assert not outliers.modified_z([3.0] * 5).any()
    assert (
        np.isfinite(outliers.modified_z([1.0] * 9 + [2.0])).all()
        and outliers.modified_z([1.0] * 9 + [2.0])[-1] > outliers.LARGEST_Z
    )


def test_a_scan_far_above_the_others_is_named_and_one_far_below_is_not():
    usual = [scan(n, np.sin(n)) for n in range(18)]
    found = outliers.find_outliers([*usual, scan(18, 30.0), scan(19, -30.0)])
    assert [s.name for s in found if s.outlier] == ["head 18"] and found[0].name == "head 18"
    assert found[0].z["logit"] > outliers.LARGEST_Z and found[0].fingerprint == "print 18"


def test_standing_out_in_one_score_is_enough():
    found = outliers.find_outliers(
        [*(scan(n, np.sin(n), np.cos(n)) for n in range(18)), scan(9, 0.0, 40.0)]
    )
    assert [s.values["l1"] for s in found if s.outlier] == [40.0]


def test_among_few_scans_none_is_named_but_those_without_a_brain_are():
    refused = outliers.ScanScores(
        "head 9", "print 9", {}, outlier=True, refused="no brain was found: look at the scan."
    )
    found = outliers.find_outliers([scan(0, 0.0), scan(1, 1.0), scan(2, 900.0), refused])
    assert [s.name for s in found if s.outlier] == ["head 9"]
    assert "no brain was found" in outliers.format_table(found)


def test_a_folder_or_archive_becomes_a_table_and_a_file_without_pickle(
    tmp_path, monkeypatch, capsys
):
    heads.write(tmp_path / "heads.npz", some_heads(12))
    values = iter([*np.sin(np.arange(11)), 50.0])

    def score_scan(item: outliers.Item) -> outliers.ScanScores:
        return outliers.ScanScores(
            item[0], item[1], {"logit": next(values), "l1": 0.0, "mahalanobis": 0.0}
        )

    monkeypatch.setattr(outliers, "score_scan", score_scan)
    outliers.main(tmp_path / "heads.npz", target=tmp_path / "outliers.json", workers=1)
    said = capsys.readouterr().out
    assert "| head 11 | 50.00" in said and "1 of 12 scans stand out" in said
    content = json.loads((tmp_path / "outliers.json").read_text())
    assert "Iglewicz" in content["rule"] and len(content["scans"]) == 12
    assert {p.name for p in tmp_path.iterdir()} == {"heads.npz", "outliers.json"}
    gone = heads.read_outliers(tmp_path / "outliers.json")
    heads.write(tmp_path / "pure.npz", some_heads(12), gone)
    kept, all_of_them = heads.read(tmp_path / "pure.npz"), heads.read(tmp_path / "heads.npz")
    assert len(kept.images) == 11 and all(
        np.array_equal(a, b) for a, b in zip(kept.images, all_of_them.images[:11], strict=True)
    )
    assert [int(s[0, 0, 0]) for s in kept.structures] == list(range(11))
    assert len(heads.read_outliers(tmp_path / "outliers.json")) == 1


def test_a_limit_scores_the_first_scans_only_and_files_are_left_out_by_name(
    tmp_path, monkeypatch, capsys
):
    for name in ("b.nii.gz", "a.nii.gz", "notes.txt", "c.nii"):
        (tmp_path / name).write_text("")
    seen = []
    monkeypatch.setattr(
        outliers,
        "score_scan",
        lambda item: (
            seen.append(item[0]) or outliers.ScanScores(item[0], "", {}, outlier=True, refused="x")
        ),
    )
    outliers.main(folder=tmp_path, target=tmp_path / "outliers.json", limit=2, workers=1)
    assert seen == ["a.nii.gz", "b.nii.gz"] and heads.read_outliers(tmp_path / "outliers.json") == {
        "a.nii.gz",
        "b.nii.gz",
    }


def test_a_wrong_or_missing_file_of_outliers_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "missing.json"):
        with pytest.raises(SystemExit, match=r"python -m training\.data\.outliers"):
            heads.read_outliers(tmp_path / name)


def test_what_has_no_brain_is_named_with_the_reason():
    found = outliers.score_scan(("bottle", "", Modality.T1, phantom("cylinder")))
    assert found.outlier and found.refused and not found.values


def test_a_patient_is_scored_by_the_network(tmp_path):
    from BrainSSLAnomalyLib.phantom import synthetic_patient
    from support.models import tiny_model

    study, _ = synthetic_patient(3, spacing=3.0)
    found = outliers.score_scan(
        ("made", "", Modality.T1, study.scans[Modality.T1].volume), tiny_model()
    )
    assert set(found.values) == {s.value for s in outliers.SCORES} and all(
        np.isfinite(v) for v in found.values.values()
    )
