"""The shipped anomaly model: whole, safe to load, as its bundle says, and behind `detect`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings, Cancelled, DamagedModel
from BrainSSLAnomalyLib.core.resources import resource
from BrainSSLAnomalyLib.core.results import MapName
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
    SegmentationSettings,
)
from BrainSSLAnomalyLib.core.study import Modality, Study
from BrainSSLAnomalyLib.detection import detect as detector
from BrainSSLAnomalyLib.detection.detect import EXPLAINED, chosen, detect
from BrainSSLAnomalyLib.imageio import read_results, write_results
from BrainSSLAnomalyLib.phantom import synthetic_patient
from BrainSSLAnomalyLib.preparation import prepare
from BrainSSLAnomalyLib.report import write_report
from BrainSSLAnomalyLib.segmentation import segment

HYBRID = DetectionSettings(detector=DetectorName.HYBRID, device=Device.CPU)


def test_without_torch_the_statistical_detector_looks_and_the_report_says_so(monkeypatch):
    monkeypatch.setattr(
        detector, "find_spec", lambda name: None if name == "torch" else find_spec(name)
    )
    name, score, said = chosen(HYBRID)
    assert name is DetectorName.STATISTICAL and score is ScoreName.STATISTICAL and "install" in said


def test_by_default_the_network_looks_and_the_statistics_where_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(detector, "networks_available", lambda: True)
    assert chosen(DetectionSettings()) == (DetectorName.HYBRID, ScoreName.FUSED, "")
    assert chosen(DetectionSettings(DetectorName.STATISTICAL)) == (
        DetectorName.STATISTICAL,
        ScoreName.STATISTICAL,
        "",
    )


torch = pytest.importorskip(
    "torch", reason="the model needs torch: pip install 'brain-ssl-anomaly[model]'"
)
monai = pytest.importorskip(
    "monai", reason="the model needs MONAI: pip install 'brain-ssl-anomaly[model]'"
)
pytest.importorskip(
    "einops", reason="MONAI's transformer needs einops: pip install 'brain-ssl-anomaly[model]'"
)

from BrainSSLAnomalyLib.detection import network_detector as hybrid
from BrainSSLAnomalyLib.network import bundle
from BrainSSLAnomalyLib.network.model import (
    BUNDLE,
    PATCHES,
    StackedNetwork,
    load_model,
    torch_device,
)


@pytest.fixture(scope="module")
def patient():
    study, lesions = synthetic_patient(3)
    return Study({Modality.FLAIR: study.scans[Modality.FLAIR]}), lesions


@pytest.fixture(scope="module")
def found(patient):
    return detect(patient[0], HYBRID)


@pytest.fixture
def other_bundle(tmp_path, monkeypatch):
    """A copy of the bundle that a test may spoil."""
    shutil.copytree(resource(BUNDLE), tmp_path / BUNDLE)
    monkeypatch.setattr(bundle, "resource", lambda *parts: tmp_path.joinpath(*parts))
    return tmp_path / BUNDLE


def test_the_bundle_passes_monais_check_of_inputs_and_outputs():
    from monai.bundle import verify_net_in_out

    files = {
        name: str(resource(BUNDLE, "configs", f"{name}.json")) for name in ("metadata", "inference")
    }
    verify_net_in_out(
        net_id="network_def",
        meta_file=files["metadata"],
        config_file=files["inference"],
        device="cpu",
    )


def test_the_bundles_config_builds_the_shipped_network():
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(resource(BUNDLE, "configs", "inference.json")))
    assert isinstance(parser.get_parsed_content("network"), StackedNetwork)


def test_the_metadata_holds_everything_that_monais_schema_requires():
    about = bundle.metadata(BUNDLE)
    required = "schema version changelog monai_version pytorch_version numpy_version task description authors copyright network_data_format"
    assert set(required.split()) <= set(about) and about["version"] in about["changelog"]


def test_the_bundle_is_small():
    files = [p for p in resource(BUNDLE).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 16 * 2**20


@pytest.mark.parametrize("file", [bundle.WEIGHTS, PATCHES])
def test_a_changed_file_is_refused_in_a_sentence(other_bundle, file):
    path = other_bundle.joinpath(*file)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedModel, match="install the package again"):
        load_model(Device.CPU)


def test_a_detection_comes_with_every_map_on_the_grid_of_the_scan(found, patient):
    grid = patient[0].reference.volume
    assert set(found.maps) == set(MapName) and found.detector == "hybrid"
    for name, array in found.maps.items():
        assert array.shape == grid.array.shape and np.isfinite(array).all(), name
        if name is not MapName.RECONSTRUCTION:
            assert (
                not array[~found.brain_mask].any() or np.abs(array[~found.brain_mask]).max() < 1e-3
            ), name
    assert found.maps[MapName.GRADCAM].min() >= 0 and found.maps[MapName.GRADCAM].max() <= 1
    assert found.anomaly_score.min() >= 0 and found.anomaly_score.max() <= 1


def test_the_grad_cam_of_all_that_was_marked_asked_again_is_that_of_the_detection(found):
    brain = found.reference.with_array(found.brain_mask)
    again = hybrid.gradcam_of_finding(
        found.network_input, brain, found.anomaly_score > EXPLAINED, load_model(Device.CPU)
    )
    assert np.abs(again - found.maps[MapName.GRADCAM])[found.brain_mask].max() < 0.02


def test_a_finding_is_explained_in_the_worker_from_what_was_written_and_by_itself(found, tmp_path):
    from BrainSSLAnomalyLib.jobs import explanation_request as question
    from BrainSSLAnomalyLib.jobs import worker

    cut = segment(found, SegmentationSettings())
    write_results(tmp_path, found, cut, SegmentationSettings(), HYBRID, with_input=True)
    network_input = read_results(tmp_path)[0].network_input
    assert network_input.axis == found.network_input.axis and np.allclose(
        network_input.affine, found.network_input.affine, atol=1e-4
    )
    assert all(
        np.allclose(network_input.images[m], image)
        for m, image in found.network_input.images.items()
    )
    brain, heats = found.reference.with_array(found.brain_mask), []
    for number in (1, 2):
        asked = cut.labels == number
        scratch = tmp_path / str(number)
        scratch.mkdir()
        question.write_question(scratch, network_input, brain, asked, Device.CPU)
        with open(scratch / "messages", "w+") as stream:
            voice = worker.Voice(stream)
            worker.run(scratch, voice, worker.Watch(scratch, voice))
            stream.seek(0)
            assert '"done"' in stream.read()
        heat = question.read_answer(scratch / worker.RESULTS)
        heats.append(heat)
        assert (
            heat.shape == asked.shape
            and heat.min() >= 0
            and heat.max() > 0.3
            and not heat[~found.brain_mask].any()
        )
    first, second = heats
    assert np.abs(first - second).max() > 0.3, "two findings have the same explanation"


def test_a_damaged_question_is_refused_in_a_sentence(tmp_path):
    from BrainSSLAnomalyLib.core.errors import BadSettings
    from BrainSSLAnomalyLib.jobs import explanation_request as question

    (tmp_path / question.QUESTION).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadSettings, match="choose the finding again"):
        question.answer(tmp_path, tmp_path / "results", lambda *_: None)


def test_lesions_that_were_put_in_score_higher_than_the_rest_of_the_brain(found, patient):
    truth = patient[1].array > 0
    assert np.median(found.anomaly_score[truth]) > 10 * np.median(
        found.anomaly_score[found.brain_mask & ~truth]
    )


def test_the_reconstruction_is_the_scan_outside_the_brain_and_nearer_to_healthy_inside_lesions(
    found, patient
):
    scan, healthy, truth = (
        patient[0].reference.volume.array,
        found.maps[MapName.RECONSTRUCTION],
        patient[1].array > 0,
    )
    assert np.allclose(healthy[~found.brain_mask], scan[~found.brain_mask], rtol=1e-4)
    usual = np.median(scan[found.brain_mask & ~truth])
    assert abs(np.median(healthy[truth]) - usual) < abs(np.median(scan[truth]) - usual)


def test_results_with_maps_survive_writing_and_the_report_shows_them(found, tmp_path):
    settings = SegmentationSettings()
    cut = segment(found, settings)
    write_results(tmp_path, found, cut, settings, HYBRID)
    again = read_results(tmp_path)[0]
    assert set(again.maps) == set(found.maps)
    assert all(np.allclose(again.maps[name], found.maps[name], atol=1e-4) for name in found.maps)
    page = write_report(tmp_path, found, cut, settings).read_text(encoding="utf-8")
    assert "What the network makes of finding 1" in page and "“hybrid”" in page


def test_the_scan_turned_upside_down_and_back_to_front_gives_the_same_maps(found, patient):
    scan = patient[0].reference
    grid = scan.volume
    turned = grid.affine.copy()
    turned[:3, 3] += turned[:3, :3] @ (np.array(grid.array.shape[::-1]) - 1)
    turned[:3, :3] *= -1
    flipped = type(grid)(np.ascontiguousarray(grid.array[::-1, ::-1, ::-1]), turned)
    other = detect(
        Study({Modality.FLAIR: type(scan)(flipped, Modality.FLAIR, "turned")}),
        replace(HYBRID, explain=False),
    )
    back = other.anomaly_score[::-1, ::-1, ::-1]
    assert np.mean(np.abs(back - found.anomaly_score) > 0.1) < 0.002


@pytest.fixture(scope="module")
def looked(patient):
    """The patient prepared, and what the network sees there with every distance: once for all scores."""
    prepared = prepare(patient[0])
    return (
        prepared,
        hybrid.view(prepared, load_model(Device.CPU), latent=hybrid.LATENT),
        detector.compute_zscores(prepared),
    )


@pytest.mark.parametrize("score", [s for s in ScoreName if s is not ScoreName.FUSED])
def test_every_score_can_be_chosen(score, patient, looked, monkeypatch):
    prepared, whole, zscores = looked

    def view(*_, latent, **__):
        return replace(
            whole,
            seen=replace(
                whole.seen,
                distances={name.value: whole.seen.distances[name.value] for name in latent},
            ),
        )

    monkeypatch.setattr(detector, "prepare", lambda *_, **__: prepared)
    monkeypatch.setattr(detector, "compute_zscores", lambda *_, **__: zscores)
    monkeypatch.setattr(hybrid, "view", view)
    detection = detect(
        patient[0],
        DetectionSettings(DetectorName.HYBRID, score=score, explain=False, device=Device.CPU),
    )
    assert detection.facts["score"] == score.value and detection.anomaly_score.max() > 0
    assert MapName.GRADCAM not in detection.maps


def test_a_gpu_that_is_not_there_is_missed_in_a_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device(Device.AUTO).type == "cpu"
    with pytest.raises(BadSettings, match="no GPU"):
        torch_device(Device.CUDA)


def test_looking_can_be_stopped(patient, looked, monkeypatch):
    monkeypatch.setattr(detector, "prepare", lambda *_, **__: looked[0])

    def stop(stage: str, fraction: float) -> None:
        if stage == "Looking for anomalies":
            raise Cancelled

    with pytest.raises(Cancelled):
        detect(patient[0], HYBRID, stop)
