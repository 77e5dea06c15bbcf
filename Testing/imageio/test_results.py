"""Results are whole or absent, survive the round trip, and never bury what was there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from BrainSSLAnomalyLib.core.errors import BadResults, BrainSSLAnomalyError, ResultsExist
from BrainSSLAnomalyLib.core.files import write_text
from BrainSSLAnomalyLib.core.settings import (
    MorphologySettings,
    SegmentationSettings,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.core.study import Volume
from BrainSSLAnomalyLib.imageio import (
    read_results,
    results_folder,
    write_results,
    write_volume,
)
from BrainSSLAnomalyLib.segmentation import segment
from hypothesis import given, settings
from hypothesis import strategies as st
from support.detections import make_detection

CHOSEN = SegmentationSettings(
    ThresholdSettings(threshold=0.6, low=0.4), MorphologySettings(closing_mm=4, min_volume_ml=0.2)
)


@pytest.fixture
def result(tmp_path, detection) -> Path:
    folder = tmp_path / "result"
    folder.mkdir()
    write_results(folder, detection, segment(detection, CHOSEN), CHOSEN)
    return folder


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]),
    st.integers(0, 2**32 - 1),
    st.permutations([0, 1, 2]),
    st.tuples(*[st.floats(0.3, 8)] * 3),
    st.tuples(*[st.floats(-0.3, 0.3)] * 3),
)
def test_a_volume_comes_back_with_its_voxels_and_its_place_even_when_sheared(
    tmp_path_factory, dtype, seed, order, spacing, shear
):
    array = (np.random.default_rng(seed).random((4, 5, 6)) * 200).astype(dtype)
    affine = np.eye(4)
    affine[:3, :3] = (
        np.diag(spacing) @ np.array([[1, shear[0], 0], [0, 1, shear[1]], [shear[2], 0, 1]])
    )[:, order]
    affine[:3, 3] = [5, -7, 11]
    path = tmp_path_factory.mktemp("volume") / "x.nii.gz"
    write_volume(path, Volume(array, affine), dtype)
    image = nib.loadsave.load(path)
    assert np.array_equal(np.asarray(image.dataobj), array.T)
    assert np.allclose(image.affine, affine, atol=1e-4)
    assert [p.name for p in path.parent.iterdir()] == ["x.nii.gz"]


def test_a_detection_comes_back_as_it_was_and_gives_the_same_mask(detection, result):
    again, chosen, content = read_results(result)
    assert chosen == CHOSEN
    assert np.array_equal(again.anomaly_score, detection.anomaly_score)
    assert np.array_equal(again.brain_mask, detection.brain_mask)
    assert list(again.zscores) == list(detection.zscores)
    assert all(np.array_equal(again.zscores[m], z) for m, z in detection.zscores.items())
    assert np.allclose(again.reference.affine, detection.reference.affine)
    assert again.scan_p_value == detection.scan_p_value
    made, read = detection.provenance, again.provenance
    assert np.array_equal(read.template_to_reference, made.template_to_reference)
    assert replace(read, template_to_reference=made.template_to_reference) == made
    assert np.array_equal(segment(again, chosen).mask, segment(detection, CHOSEN).mask)
    assert content["findings"][0]["deviations"][0]["modality"] == "FLAIR"


def test_results_of_version_0_5_are_read(detection, result):
    path = result / "result.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    now = content.pop("provenance")
    old_names = {
        "anatomy": "anatomy_by",
        "skull_stripped": "skull_stripped_input",
        "healthy_scans": "healthy_scans_in_table",
    }
    content |= {
        "format": 1,
        "version": "0.5.0",
        "detection_settings": now["settings"],
        "facts": {old_names.get(name, name): value for name, value in now.items()},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    old = read_results(result)
    assert np.array_equal(old.detection.anomaly_score, detection.anomaly_score)
    assert old.settings == CHOSEN and old.detection.provenance.healthy_scans == 20
    assert old.detection.provenance.settings == detection.provenance.settings


def test_every_promised_file_is_there_with_the_promised_type(result):
    kinds = {
        "anomaly_score": np.float32,
        "anomaly_mask": np.uint8,
        "brain_mask": np.uint8,
        "zscore_flair": np.float32,
    }
    for name, kind in kinds.items():
        assert nib.loadsave.load(result / f"{name}.nii.gz").get_data_dtype() == kind
    content = json.loads((result / "result.json").read_text())
    for key in (
        "version",
        "provenance",
        "segmentation_settings",
        "inputs",
        "seconds",
        "use",
    ):
        assert key in content
    assert all(len(i["sha256"]) == 64 for i in content["inputs"])


def test_a_failure_leaves_no_folder_behind(tmp_path):
    with (
        pytest.raises(RuntimeError),
        results_folder(tmp_path / "new" / "deep" / "result", overwrite=False) as stage,
    ):
        (stage / "x").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_old_results_as_they_were(tmp_path, result):
    before = {p.name: p.read_bytes() for p in result.iterdir()}
    with pytest.raises(KeyboardInterrupt), results_folder(result, overwrite=True) as stage:
        write_text(stage / "result.json", "half")
        raise KeyboardInterrupt
    assert {p.name: p.read_bytes() for p in result.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_results_are_not_overwritten_unasked_and_foreign_files_stay(result):
    (result / "my notes.txt").write_text("mine")
    (result / "zscore_pd.nii.gz").write_text("of an older run")
    with pytest.raises(ResultsExist, match="--overwrite"), results_folder(result, overwrite=False):
        pass
    with results_folder(result, overwrite=True) as stage:
        write_text(stage / "result.json", "{}")
    assert (result / "my notes.txt").read_text() == "mine"
    assert (result / "result.json").read_text() == "{}"
    assert not (result / "zscore_pd.nii.gz").exists()


def test_a_target_that_is_a_file_or_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ResultsExist, match="is a file"),
        results_folder(tmp_path / "file", overwrite=True),
    ):
        pass
    with (
        pytest.raises(BrainSSLAnomalyError),
        results_folder(tmp_path / "file" / "below", overwrite=True),
    ):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_a_relative_target_is_meant_from_where_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with results_folder(Path("here"), overwrite=False) as stage:
        os.chdir("/")
        (stage / "x").write_text("1")
    assert (tmp_path / "here" / "x").exists()


@pytest.mark.parametrize(
    "name",
    [
        "result.json",
        "anomaly_score.nii.gz",
        "brain_mask.nii.gz",
        "zscore_t1.nii.gz",
        "regions.nii.gz",
    ],
)
@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "garbage", "of another size"])
def test_damaged_results_are_refused_in_one_sentence(name, damage, result):
    path = result / name
    if damage == "absent":
        path.unlink()
    elif damage == "of another size" and name != "result.json":
        write_volume(path, make_detection((10, 11, 12)).reference, np.float32)
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:80]}.get(damage, b"garbage" * 40))
    with pytest.raises(BadResults) as caught:
        read_results(result)
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)


@pytest.mark.parametrize("key", ["format", "inputs", "segmentation_settings", "reference_modality"])
def test_a_result_file_without_a_key_or_of_another_version_is_refused(key, result):
    content = json.loads((result / "result.json").read_text())
    for changed in ({k: v for k, v in content.items() if k != key}, {**content, key: 99}):
        (result / "result.json").write_text(json.dumps(changed))
        with pytest.raises(BrainSSLAnomalyError):
            read_results(result)
