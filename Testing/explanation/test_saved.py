"""The findings of saved results can be explained as long as their scans are there."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from BrainSSLAnomalyLib.core.errors import BadResults, Cancelled
from BrainSSLAnomalyLib.core.files import write_text
from BrainSSLAnomalyLib.core.results import MapName, NetworkInput
from BrainSSLAnomalyLib.core.settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ExplanationMethod,
    ExplanationStage,
    SegmentationSettings,
    ThresholdMethod,
    ThresholdSettings,
)
from BrainSSLAnomalyLib.core.study import Modality
from BrainSSLAnomalyLib.detection.detect import detect
from BrainSSLAnomalyLib.explanation import explain_results
from BrainSSLAnomalyLib.imageio import (
    locate_scans,
    read_results,
    read_study,
    results_folder,
    write_results,
    write_volume,
)
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.segmentation import segment
from support.command_line import run
from support.detections import make_detection

CUT = SegmentationSettings(ThresholdSettings(ThresholdMethod.FIXED, threshold=0.9))
STATISTICAL = DetectionSettings(
    DetectorName.STATISTICAL, correct_bias=False, anatomy=AnatomySource.ATLAS, device=Device.CPU
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with two scans and the result of the statistics; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    study, _ = synthetic_patient(1, spacing=2.0)
    for modality in (Modality.FLAIR, Modality.T1):
        write_volume(folder / f"{modality.key}.nii.gz", study.scans[modality].volume, np.int16)
    study = read_study({m: folder / f"{m.key}.nii.gz" for m in (Modality.FLAIR, Modality.T1)})
    detection = detect(study, STATISTICAL)
    (folder / "result").mkdir()
    found = segment(detection, CUT)
    assert found.findings
    write_results(folder / "result", detection, found, CUT)
    return folder


@pytest.fixture
def patient(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "patient")


def test_the_scans_of_a_result_are_found_beside_it_and_where_they_are_named(
    patient, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    detection = read_results(patient / "result").detection
    study = locate_scans(detection, patient / "result")
    assert {m: s.sha256 for m, s in study.scans.items()} == {
        s.modality: s.sha256 for s in detection.inputs
    }
    known = nib.loadsave.load(patient / "t1.nii.gz")
    assert np.array_equal(study.scans[Modality.T1].volume.array, np.asarray(known.dataobj).T)
    (tmp_path / "elsewhere").mkdir()
    shutil.move(patient / "t1.nii.gz", tmp_path / "elsewhere" / "renamed.nii.gz")
    with pytest.raises(BadResults, match="is missing"):
        locate_scans(detection, patient / "result")
    again = locate_scans(detection, patient / "result", [tmp_path / "elsewhere" / "renamed.nii.gz"])
    assert again.scans[Modality.T1].source == "t1.nii.gz"


def test_another_scan_of_the_same_name_is_refused(patient):
    detection = read_results(patient / "result").detection
    shutil.copy(patient / "flair.nii.gz", patient / "t1.nii.gz")
    with pytest.raises(BadResults, match="SHA-256"):
        locate_scans(detection, patient / "result")


def test_a_result_of_one_scan_needs_no_other_file(patient):
    detection = read_results(patient / "result").detection
    alone = replace(detection, inputs=detection.inputs[:1])
    for name in ("flair", "t1"):
        (patient / f"{name}.nii.gz").unlink()
    study = locate_scans(alone, patient / "result")
    assert study.modalities == (Modality.FLAIR,) and study.reference.volume is detection.reference


def test_scans_that_were_made_in_memory_are_never_taken_from_beside_the_result(patient):
    detection = read_results(patient / "result").detection
    unsigned = replace(
        detection, inputs=tuple(replace(s, sha256="", source="made") for s in detection.inputs)
    )
    with pytest.raises(BadResults, match="is missing"):
        locate_scans(unsigned, patient / "result")
    assert locate_scans(unsigned, patient / "result", [patient]).modalities == (
        Modality.FLAIR,
        Modality.T1,
    )


def test_new_findings_take_the_explanations_of_the_old_ones_away_and_leave_other_files(patient):
    folder = patient / "result" / "explanations"
    folder.mkdir()
    (folder / "finding_01_attention.nii.gz").write_text("old")
    (folder / "my notes.txt").write_text("mine")
    with results_folder(patient / "result", overwrite=True) as stage:
        write_text(stage / "result.json", "{}")
    assert [p.name for p in folder.iterdir()] == ["my notes.txt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nowhere",),
        ("result", "--finding", "99"),
        ("result", "--stage", "brain"),
        ("result", "--scans", "nowhere"),
        ("result",),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_code_2_and_one_sentence(arguments, patient):
    if arguments == ("result",):
        (patient / "t1.nii.gz").unlink()
    done = run("explain", *arguments, folder=patient)
    assert (
        done.returncode == 2
        and "Traceback" not in done.stderr
        and len(done.stderr.strip().splitlines()) == 1
    )
    assert not (patient / "result" / "explanations").exists()


from support.packages import need_network

need_network()

from support.models import tiny_model


def test_the_networks_input_of_another_patient_is_refused(tmp_path):
    detection = make_detection()
    given = NetworkInput({Modality.FLAIR: np.ones((8, 9, 10), np.float32)}, np.eye(4), (0,))
    for folder, factor in (("one", 1), ("other", 2)):
        images = {m: image * factor for m, image in given.images.items()}
        own = replace(detection, network_input=replace(given, images=images))
        (tmp_path / folder).mkdir()
        write_results(tmp_path / folder, own, segment(own, CUT), CUT)
        assert read_results(tmp_path / folder).detection.network_input is not None
    name = "network_input_flair.nii.gz"
    shutil.copy(tmp_path / "other" / name, tmp_path / "one" / name)
    with pytest.raises(BadResults, match="not the file of this result"):
        read_results(tmp_path / "one")


def explain_first(patient: Path, **options):
    return list(
        explain_results(patient / "result", 1, device=Device.CPU, model=tiny_model(), **options)
    )


@pytest.fixture(scope="module")
def explained(made, tmp_path_factory):
    """A patient's folder whose first finding was explained, the explanation, its picture."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("explained") / "patient")
    ((explanation, picture),) = explain_first(
        folder, stage=ExplanationStage.DECODER, method=ExplanationMethod.HIRESCAM
    )
    return folder, explanation, picture


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_a_finding_gets_map_attention_picture_and_record_on_the_grid_of_the_result(explained, made):
    patient, explanation, picture = explained
    folder = patient / "result" / "explanations"
    name = "finding_01_hirescam_decoder"
    assert {p.name for p in folder.iterdir()} == {
        f"{name}.nii.gz",
        f"{name}.png",
        f"{name}.json",
        "finding_01_attention.nii.gz",
    }
    assert picture == folder / f"{name}.png" and picture.read_bytes().startswith(b"\x89PNG")
    reference = nib.loadsave.load(patient / "result" / "reference.nii.gz")
    for file, array in (
        (f"{name}.nii.gz", explanation.gradcam),
        ("finding_01_attention.nii.gz", explanation.attention),
    ):
        image = nib.loadsave.load(folder / file)
        assert image.shape == reference.shape and np.allclose(image.affine, reference.affine)
        assert np.array_equal(np.asarray(image.dataobj).T, array)
    record = json.loads((folder / f"{name}.json").read_text())
    assert (record["finding"], record["stage"]) == (1, "decoder")
    assert "Research use only" in record["use"]
    assert contents(patient / "result") == contents(made / "result")


def test_an_explanation_lies_in_the_brain_on_the_slices_of_its_finding(explained):
    patient, explanation, _ = explained
    saved = read_results(patient / "result")
    labels, axis = segment(saved.detection, saved.settings).labels, explanation.axis
    others = tuple(a for a in range(3) if a != axis)
    slices = np.flatnonzero((labels == 1).any(others))
    for array, least in ((explanation.gradcam, 0.5), (explanation.attention, 1.0)):
        at = np.flatnonzero(array.any(others))
        assert at.size and at.min() >= slices.min() - 1 and at.max() <= slices.max() + 1
        assert array.min() >= 0 and array.max() > least
        assert not array[~saved.detection.brain_mask].any()
    assert not explanation.is_empty and explanation.gradcam.max() <= 1
    assert set(explanation.maps) == {MapName.RECONSTRUCTION, MapName.ERROR}


def test_explaining_can_be_stopped_and_leaves_nothing(patient):
    def stop(stage: str, fraction: float) -> None:
        assert 0 <= fraction <= 1
        if fraction > 0.1:
            raise Cancelled

    with pytest.raises(Cancelled):
        explain_first(patient, progress=stop)
    assert not (patient / "result" / "explanations").exists()
